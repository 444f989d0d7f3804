"""Concludes from facts: who needs whom, what is missing, what everything rests on."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from packaging.markers import UndefinedEnvironmentName
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from packaging.version import InvalidVersion, Version

from folkmoot.dossier.facts import Fact
from folkmoot.dossier.licences import conclude
from folkmoot.dossier.models import Analysis, Package, Problem

Known = Mapping[str, Mapping[str, list[Fact]]]
"""Facts by subject and predicate."""


def index(facts: Iterable[Sequence[Any]]) -> dict[str, dict[str, list[Fact]]]:
    """Return facts, as lists from the shared set, by subject and predicate."""
    known: dict[str, dict[str, list[Fact]]] = defaultdict(lambda: defaultdict(list))
    for fact in sorted(Fact(*each) for each in facts):
        known[fact.subject][fact.predicate].append(fact)
    return known


def analyse(facts: Iterable[Sequence[Any]]) -> Analysis:
    """Return what the facts amount to. The same facts in any order give the same analysis."""
    known = index([tuple(fact) for fact in facts])
    needed = {name: _needed(name, known) for name in known}
    needs = {name: sorted({_key(r) for r, _ in needed[name]} & set(known)) for name in known}
    closures = {name: _closure(name, needs) for name in known}
    dependants = Counter(need for closure in closures.values() for need in closure)
    sizes = {name: _one(known[name], "bytes", 0) for name in known}
    packages = [
        _package(name, known[name], needs[name], closures[name], dependants[name], sizes)
        for name in sorted(known)
    ]
    missing, conflicts = _problems(needed, known)
    return Analysis(
        packages=packages,
        missing=missing,
        conflicts=conflicts,
        unreadable=_unreadable(known),
        families=dict(Counter(package.family for package in packages).most_common()),
    )


def _needed(name: str, known: Known) -> list[tuple[Requirement, Fact]]:
    """Return the requirements of a package that apply here, its extras left out."""
    applying = []
    for fact in known[name].get("requires", ()):
        requirement = Requirement(fact.value)
        if applies(requirement):
            applying.append((requirement, fact))
    return applying


def applies(requirement: Requirement) -> bool:
    """Whether a requirement applies in this environment when no extra was asked for."""
    if requirement.marker is None:
        return True
    try:
        return requirement.marker.evaluate({"extra": ""})
    except UndefinedEnvironmentName:
        return False


def _key(requirement: Requirement) -> str:
    return str(canonicalize_name(requirement.name))


def _closure(name: str, needs: Mapping[str, Sequence[str]]) -> set[str]:
    reached: set[str] = set()
    waiting = list(needs[name])
    while waiting:
        need = waiting.pop()
        if need not in reached and need != name:
            reached.add(need)
            waiting.extend(needs[need])
    return reached


def _one(facts: Mapping[str, list[Fact]], predicate: str, default: Any) -> Any:
    found = facts.get(predicate)
    return found[0].value if found else default


def _package(
    name: str,
    facts: Mapping[str, list[Fact]],
    needs: list[str],
    closure: set[str],
    dependants: int,
    sizes: Mapping[str, int],
) -> Package:
    licence = conclude({predicate: [f.value for f in found] for predicate, found in facts.items()})
    return Package(
        name=name,
        version=_one(facts, "version", ""),
        summary=_one(facts, "summary", ""),
        licence=licence.shown,
        family=licence.family,
        bytes=sizes[name],
        native=_one(facts, "native", 0),
        needs=needs,
        reach=len(closure),
        dependants=dependants,
        closure_bytes=sizes[name] + sum(sizes[each] for each in closure),
    )


def _problems(
    needed: Mapping[str, list[tuple[Requirement, Fact]]], known: Known
) -> tuple[list[Problem], list[Problem]]:
    missing, conflicts = [], []
    for name in sorted(needed):
        for requirement, fact in needed[name]:
            key = _key(requirement)
            found = _one(known[key], "version", None) if key in known else None
            problem = Problem(package=name, requirement=fact.value, found=found, source=fact.source)
            if key not in known:
                missing.append(problem)
            elif found is not None and not _satisfies(requirement, found):
                conflicts.append(problem)
    return missing, conflicts


def _satisfies(requirement: Requirement, version: str) -> bool:
    try:
        return requirement.specifier.contains(Version(version), prereleases=True)
    except InvalidVersion:
        return False


def _unreadable(known: Known) -> list[Problem]:
    return [
        Problem(package=fact.subject, requirement=str(fact.value), found=None, source=fact.source)
        for name in sorted(known)
        for fact in known[name].get("unreadable", ())
    ]
