"""Concludes from facts: who needs whom, what is missing, what everything rests on."""

from __future__ import annotations

import json
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from packaging.version import InvalidVersion

from folkmoot.dossier.facts import UNREADABLE, Fact
from folkmoot.dossier.licences import conclude
from folkmoot.dossier.models import Analysis, Package, Problem
from folkmoot.dossier.requirements import Need, Requirements, closures, resolve

Known = Mapping[str, Mapping[str, list[Fact]]]
"""Facts by subject and predicate."""


def index(facts: Iterable[Sequence[Any]]) -> dict[str, dict[str, list[Fact]]]:
    """Return facts, as lists from the shared set, by subject and predicate, each once."""
    distinct = {json.dumps(fact): Fact(*fact) for fact in facts}
    known: dict[str, dict[str, list[Fact]]] = {}
    for _, fact in sorted(distinct.items()):
        known.setdefault(fact.subject, {}).setdefault(fact.predicate, []).append(fact)
    return known


def analyse(facts: Iterable[Sequence[Any]]) -> Analysis:
    """Return what the facts amount to. The same facts in any order give the same analysis."""
    known = index(facts)
    required = requirements(known)
    packages = _packages(known, required)
    missing, conflicts = _problems(required, known)
    return Analysis(
        facts=sum(len(found) for of in known.values() for found in of.values()),
        packages=packages,
        missing=missing,
        conflicts=conflicts,
        unreadable=_unreadable(known),
        families=dict(Counter(package.family for package in packages).most_common()),
    )


def requirements(known: Known) -> Requirements:
    """Return the requirements that count among what is known."""
    return resolve({name: known[name].get("requires", []) for name in known})


def _packages(known: Known, required: Requirements) -> list[Package]:
    needs = {name: _names(required.needs[name], name, known) for name in known}
    users: dict[str, list[str]] = defaultdict(list)
    for name, needed in needs.items():
        for need in needed:
            users[need].append(name)
    reached = closures(needs)
    dependants = Counter(need for closure in reached.values() for need in closure)
    sizes = {name: _one(known[name], "bytes", None) for name in known}
    return [
        Package(
            **_described(known[name]),
            name=name,
            bytes=sizes[name],
            needs=needs[name],
            users=users[name],
            optional_for=sorted(required.optional.get(name, ())),
            reach=len(reached[name]),
            dependants=dependants[name],
            closure_bytes=sum(sizes[each] or 0 for each in {name} | reached[name]),
        )
        for name in sorted(known)
    ]


def _names(needs: Iterable[Need], name: str, known: Known) -> list[str]:
    return sorted({need.name for need in needs if need.name in known} - {name})


def _one(facts: Mapping[str, list[Fact]], predicate: str, default: Any) -> Any:
    found = facts.get(predicate)
    return found[0].value if found else default


def _described(facts: Mapping[str, list[Fact]]) -> dict[str, Any]:
    """Return what a package's own facts say of it."""
    licence = conclude({predicate: [f.value for f in found] for predicate, found in facts.items()})
    return {
        "version": _one(facts, "version", ""),
        "summary": _one(facts, "summary", ""),
        "licence": licence.shown,
        "family": licence.family,
        "basis": licence.basis,
        "native": _one(facts, "native", 0),
        "editable": _one(facts, "editable", False),
    }


def _problems(required: Requirements, known: Known) -> tuple[list[Problem], list[Problem]]:
    """Return the missing requirements and the conflicting ones."""
    missing, conflicts = [], []
    for name in sorted(required.needs):
        for need in required.needs[name]:
            fact = need.fact
            if need.name not in known:
                missing.append(_problem(fact, None))
                continue
            found = _one(known[need.name], "version", None)
            if found is not None and not _satisfies(need, found):
                conflicts.append(_problem(fact, found))
    return missing, conflicts


def _problem(fact: Fact, found: str | None) -> Problem:
    return Problem(
        package=fact.subject, requirement=str(fact.value), found=found, source=fact.source
    )


def _satisfies(need: Need, version: str) -> bool:
    """Whether a version is one that the requirement allows; any is, if it names none."""
    specifier = need.requirement.specifier
    try:
        return not specifier or specifier.contains(version, prereleases=True)
    except InvalidVersion:
        return False


def _unreadable(known: Known) -> list[Problem]:
    return [
        _problem(fact, None) for name in sorted(known) for fact in known[name].get(UNREADABLE, ())
    ]
