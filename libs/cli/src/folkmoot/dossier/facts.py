"""What is to be known of one distribution, each fact with the place that it was read from.

A fact is a list of four JSON values, because it goes into a shared set: subject (normalised name),
predicate, value, source (`Name-1.0.dist-info/METADATA#License-Expression`). What cannot be read is
a fact as well, and stops nothing.

Only small files are read: RECORD already says how large everything else is.
"""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Callable, Iterable, Iterator, Sequence
from importlib import metadata
from typing import Any, NamedTuple

from packaging.metadata import RawMetadata, parse_email
from packaging.requirements import Requirement

from folkmoot.dossier.corpus import BROKEN, find, folder
from folkmoot.dossier.text import shortened

REQUIREMENT_CHARS_MAX = 1_000
"""Of a requirement, which is useless when cut; the longest seen in earnest has about 300."""

UNREADABLE = "could not be read"
"""The predicate of what is broken."""

SIZE_DIGITS_MAX = 15
"""Of a file's size in bytes, so that all of them together stay exact in any reader's JSON."""

NATIVE = (".so", ".pyd", ".dylib", ".dll")
LICENCE_FILES = ("license", "licence", "copying", "unlicense")


class Fact(NamedTuple):
    """One fact."""

    subject: str
    predicate: str
    value: Any
    source: str


class Reading(NamedTuple):
    """What was read of one distribution: how many files, and of what size together."""

    facts: list[Fact]
    files: int
    bytes: int


Note = Callable[[str, Any, str], None]
"""Notes a predicate, a value and a source within the metadata folder."""


def read(name: str, path: Sequence[str] | None = None) -> Reading:
    """Read one distribution. What is broken in it becomes a fact and stops nothing."""
    distribution = find(name, path)
    if distribution is None:
        return Reading([Fact(name, UNREADABLE, "it is not installed", f"{name}#")], 0, 0)
    return read_distribution(name, distribution)


def read_distribution(name: str, distribution: metadata.Distribution) -> Reading:
    """Read one distribution that is at hand."""
    place = folder(distribution)
    facts: list[Fact] = []

    def note(predicate: str, value: Any, source: str) -> None:
        within = source if source.startswith("#") else f"/{source}"
        facts.append(Fact(name, predicate, value, f"{place}{within}"))

    texts = [
        _headers(distribution, note),
        _record(distribution, note),
        _origin(distribution, note),
    ]
    read_texts = [text for text in texts if text is not None]
    size = sum(len(text.encode("utf-8", "replace")) for text in read_texts)
    return Reading(facts, len(read_texts), size)


def _text(distribution: metadata.Distribution, file: str, note: Note) -> str | None:
    try:
        return distribution.read_text(file) or None
    except BROKEN as error:
        note(UNREADABLE, shortened(f"{file}: {error}"), file)
        return None


def _headers(distribution: metadata.Distribution, note: Note) -> str | None:
    """Note what METADATA says, or PKG-INFO where an old tool has installed it."""
    complaints: list[tuple[str, Any, str]] = []
    for file in ("METADATA", "PKG-INFO", ""):
        text = _text(distribution, file, lambda *complaint: complaints.append(complaint))
        if text is not None:
            raw, unparsed = parse_email(text)
            for part in (_version, _summary, _licence):
                part(raw, file, note)
            _requirements(_required(distribution, raw), file, note)
            for field in sorted(unparsed):
                note(UNREADABLE, f"the field {shortened(field)}", f"{file}#{shortened(field)}")
            return text
    for complaint in complaints or [(UNREADABLE, "there is no METADATA", "METADATA")]:
        note(*complaint)
    return None


def _version(raw: RawMetadata, file: str, note: Note) -> None:
    if version := raw.get("version"):
        note("version", shortened(version), f"{file}#Version")
    else:
        note(UNREADABLE, "its version: there is none", f"{file}#Version")


def _summary(raw: RawMetadata, file: str, note: Note) -> None:
    summary = raw.get("summary", "")
    if _said(summary):
        note("summary", shortened(summary), f"{file}#Summary")


def _licence(raw: RawMetadata, file: str, note: Note) -> None:
    """Note every way in which the licence is declared; which one counts is concluded later."""
    expression, text = raw.get("license_expression", ""), raw.get("license", "")
    classifiers = [each for each in raw.get("classifiers", ()) if each.startswith("License ::")]
    if _said(expression):
        note("licence-expression", shortened(expression), f"{file}#License-Expression")
    for classifier in classifiers:
        note("licence-classifier", shortened(classifier), f"{file}#Classifier")
    if _said(text):
        note("licence-text", shortened(text.strip().splitlines()[0]), f"{file}#License")
    if not (classifiers or _said(expression) or _said(text)):
        note("licence-none", True, file)


def _said(text: str) -> bool:
    """Whether a field says anything; old tools wrote UNKNOWN for nothing."""
    return text.strip() not in ("", "UNKNOWN")


def _required(distribution: metadata.Distribution, raw: RawMetadata) -> Iterable[str]:
    """Return the requirements, which an egg keeps in a file of their own."""
    listed = raw.get("requires_dist")
    if listed is None and folder(distribution).endswith(".egg-info"):
        try:
            listed = distribution.requires
        except BROKEN:
            listed = None
    return listed or ()


def _requirements(texts: Iterable[str], file: str, note: Note) -> None:
    for text in texts:
        if len(text) > REQUIREMENT_CHARS_MAX:
            note(UNREADABLE, shortened(f"a requirement as long as {text}"), f"{file}#Requires-Dist")
            continue
        try:
            _usable(text)
        except (ValueError, KeyError) as error:
            why = shortened(f"the requirement {text!r}: {error}")
            note(UNREADABLE, why, f"{file}#Requires-Dist")
        else:
            note("requires", text, f"{file}#Requires-Dist")


def _usable(text: str) -> None:
    """Raise unless a requirement can be parsed and its marker evaluated."""
    requirement = Requirement(text)
    if requirement.marker is not None:
        requirement.marker.evaluate({"extra": ""})


def _record(distribution: metadata.Distribution, note: Note) -> str | None:
    """Note the size, the native files and a licence file, as RECORD lists them."""
    text = _text(distribution, "RECORD", note)
    if text is None:
        note(UNREADABLE, "its size: there is no RECORD to be read", "RECORD")
        return None
    try:
        rows = list(_rows(text))
    except csv.Error as error:
        note(UNREADABLE, shortened(f"RECORD: {error}"), "RECORD")
        return text
    note("bytes", sum(size for _, size in rows), "RECORD")
    note("native", sum(path.lower().endswith(NATIVE) for path, _ in rows), "RECORD")
    for licence in [path for path, _ in rows if _is_licence(path)][:1]:
        note("licence-file", shortened(licence), "RECORD")
    return text


def _rows(text: str) -> Iterator[tuple[str, int]]:
    for row in csv.reader(io.StringIO(text, newline="")):
        if row:
            yield row[0], _size(row[2]) if len(row) > 2 else 0


def _size(text: str) -> int:
    """Return a size as RECORD gives it; nothing installed has over `SIZE_DIGITS_MAX` digits."""
    return int(text) if text.isdecimal() and len(text) <= SIZE_DIGITS_MAX else 0


def _is_licence(path: str) -> bool:
    return ".dist-info/" in path and path.rsplit("/", 1)[-1].lower().startswith(LICENCE_FILES)


def _origin(distribution: metadata.Distribution, note: Note) -> str | None:
    """Note an editable install (PEP 610), whose RECORD does not list the code."""
    text = _text(distribution, "direct_url.json", note)
    if text is None:
        return None
    try:
        origin = json.loads(text)
    except (ValueError, RecursionError) as error:
        note(UNREADABLE, shortened(f"direct_url.json: {error}"), "direct_url.json")
        return text
    folder_info = origin.get("dir_info") if isinstance(origin, dict) else None
    if isinstance(folder_info, dict) and folder_info.get("editable") is True:
        note("editable", True, "direct_url.json#dir_info")
    return text
