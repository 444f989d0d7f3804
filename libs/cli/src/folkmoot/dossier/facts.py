"""What is to be known of one distribution, each fact with the place that it was read from.

A fact is a list of four JSON values, because it goes into a shared set: subject (normalised name),
predicate, value, source (`Name-1.0.dist-info/METADATA#License-Expression`). What cannot be read is
a fact as well.
"""

from __future__ import annotations

import csv
from collections.abc import Callable, Iterator, Sequence
from importlib import metadata
from typing import Any, NamedTuple

from packaging.requirements import InvalidRequirement, Requirement

from folkmoot.dossier.corpus import distributions, folder

TEXT_CHARS_MAX = 160
"""Of a summary or licence text: enough to know what it is."""

NATIVE = (".so", ".pyd", ".dylib")
LICENCE_FILES = ("license", "licence", "copying", "notice")


class Fact(NamedTuple):
    """One fact."""

    subject: str
    predicate: str
    value: Any
    source: str


class Reading(NamedTuple):
    """What was read of one distribution, and how much reading it was."""

    facts: list[Fact]
    files: int
    bytes: int


def read(name: str, path: Sequence[str] | None = None) -> Reading:
    """Read one distribution. What is broken in it becomes a fact and stops nothing."""
    distribution = distributions(path).get(name) if path else _installed(name)
    if distribution is None:
        return Reading([Fact(name, "unreadable", "it is not installed", f"{name}#")], 0, 0)
    return read_distribution(name, distribution)


def _installed(name: str) -> metadata.Distribution | None:
    try:
        return metadata.distribution(name)
    except metadata.PackageNotFoundError:
        return None


def read_distribution(name: str, distribution: metadata.Distribution) -> Reading:
    """Read one distribution that is at hand."""
    place = folder(distribution)
    facts: list[Fact] = []

    def note(predicate: str, value: Any, source: str) -> None:
        facts.append(Fact(name, predicate, value, f"{place}/{source}"))

    for part in (_version, _summary, _licence, _requirements):
        try:
            part(distribution, note)
        except (KeyError, OSError, UnicodeDecodeError, TypeError, ValueError) as error:
            note("unreadable", f"{part.__name__.strip('_')}: {error}", "METADATA")
    files, size = _record(distribution, note)
    return Reading(facts, files, size)


Note = Callable[[str, Any, str], None]


def _version(distribution: metadata.Distribution, note: Note) -> None:
    note("version", distribution.version, "METADATA#Version")


def _summary(distribution: metadata.Distribution, note: Note) -> None:
    summary = _field(distribution, "Summary")
    if summary and summary != "UNKNOWN":
        note("summary", _shortened(summary), "METADATA#Summary")


def _licence(distribution: metadata.Distribution, note: Note) -> None:
    """Note every way in which the licence is declared; which one counts is concluded later."""
    if expression := _field(distribution, "License-Expression"):
        note("licence-expression", _shortened(expression), "METADATA#License-Expression")
    for classifier in distribution.metadata.get_all("Classifier") or ():
        if classifier.startswith("License ::"):
            note("licence-classifier", classifier, "METADATA#Classifier")
    text = _field(distribution, "License")
    if text and text.strip() and text.strip() != "UNKNOWN":
        note("licence-text", _shortened(text.strip().splitlines()[0]), "METADATA#License")


def _field(distribution: metadata.Distribution, name: str) -> str | None:
    values = distribution.metadata.get_all(name)
    return str(values[0]) if values else None


def _requirements(distribution: metadata.Distribution, note: Note) -> None:
    for text in distribution.requires or ():
        try:
            Requirement(text)
        except InvalidRequirement as error:
            note("unreadable", f"requirement {text!r}: {error}", "METADATA#Requires-Dist")
        else:
            note("requires", text, "METADATA#Requires-Dist")


def _record(distribution: metadata.Distribution, note: Note) -> tuple[int, int]:
    """Note the size and the native files, as RECORD lists them; return what was listed."""
    text = distribution.read_text("RECORD")
    if text is None:
        note("unreadable", "there is no RECORD, so its size is not known", "RECORD")
        return 0, 0
    files = size = native = 0
    licences = []
    for path, bytes_ in _rows(text):
        files, size = files + 1, size + bytes_
        native += path.endswith(NATIVE)
        if ".dist-info/" in path and path.rsplit("/", 1)[-1].lower().startswith(LICENCE_FILES):
            licences.append(path)
    note("bytes", size, "RECORD")
    note("native", native, "RECORD")
    if licences:
        note("licence-file", licences[0], "RECORD")
    return files, size


def _rows(text: str) -> Iterator[tuple[str, int]]:
    for row in csv.reader(text.splitlines()):
        if row:
            yield row[0], int(row[2]) if len(row) > 2 and row[2].isdigit() else 0


def _shortened(text: str) -> str:
    line = " ".join(text.split())
    return line if len(line) <= TEXT_CHARS_MAX else f"{line[: TEXT_CHARS_MAX - 1]}…"
