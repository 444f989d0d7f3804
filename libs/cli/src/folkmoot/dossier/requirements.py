"""Who needs whom here: requirements whose markers hold, with the extras that somebody asks for.

An extra counts if a requirement that counts asks for it: `a` needs `b[fast]`, so what `b` needs for
`fast` counts, and so on. What a person asked for at the installation is recorded nowhere; but an
extra all of whose requirements are installed is a likely reason for them to be here. Markers are
evaluated for the running interpreter, which is the one whose packages the facts are about.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from packaging.requirements import Requirement

from folkmoot.dossier.corpus import normalise
from folkmoot.dossier.facts import Fact

EXTRA = re.compile(r"""extra\s*==\s*["']([^"']+)["']""")
NO_EXTRA = ""


@dataclass(frozen=True)
class Need:
    """A requirement, and the fact that states it."""

    requirement: Requirement
    fact: Fact

    @classmethod
    def of(cls, fact: Fact) -> Need:
        """Return what a fact of a requirement states."""
        return cls(Requirement(fact.value), fact)

    @property
    def name(self) -> str:
        """The normalised name of what is needed."""
        return normalise(self.requirement.name)

    @property
    def extras_asked(self) -> set[str]:
        """The extras of it that are asked for."""
        return {normalise(extra) for extra in self.requirement.extras}

    @property
    def extras_named(self) -> list[str]:
        """The extras of the requiring package that its marker speaks of."""
        return sorted({normalise(extra) for extra in EXTRA.findall(str(self.requirement.marker))})

    def applies(self, extra: str) -> bool:
        """Whether it applies here when `extra` was asked for."""
        marker = self.requirement.marker
        return marker is None or marker.evaluate({"extra": extra})

    def is_for(self, extra: str) -> bool:
        """Whether it applies here because of `extra` alone."""
        return self.applies(extra) and not self.applies(NO_EXTRA)


@dataclass
class Requirements:
    """The requirements of every package that count, and the extras that explain others."""

    needs: dict[str, list[Need]] = field(default_factory=dict)
    optional: dict[str, set[str]] = field(default_factory=lambda: defaultdict(set))
    """By what is needed: the extras, such as `package[extra]`, that nothing asks for, that need it
    and that are installed in full."""


def resolve(facts: Mapping[str, Sequence[Fact]]) -> Requirements:
    """Return the requirements that count, from each package's facts of them."""
    stated = {name: [Need.of(fact) for fact in facts[name]] for name in facts}
    asked = _extras_asked(stated)
    found = Requirements()
    for name, needs in stated.items():
        found.needs[name] = [need for need in needs if _counts(need, asked[name])]
        for extra in sorted({extra for need in needs for extra in need.extras_named}):
            adds = {need.name for need in needs if need.is_for(extra)} - {name}
            if extra not in asked[name] and adds <= stated.keys():
                for added in adds:
                    found.optional[added].add(f"{name}[{extra}]")
    return found


def _extras_asked(stated: Mapping[str, Sequence[Need]]) -> Mapping[str, set[str]]:
    """Return the extras of each package that count, found by following requirements."""
    asked: dict[str, set[str]] = defaultdict(lambda: {NO_EXTRA})
    waiting = list(stated)
    while waiting:
        name = waiting.pop()
        for need in stated[name]:
            new = need.extras_asked - asked[need.name]
            if new and need.name in stated and _counts(need, asked[name]):
                asked[need.name] |= new
                waiting.append(need.name)
    return asked


def _counts(need: Need, extras: Iterable[str]) -> bool:
    return any(need.applies(extra) for extra in extras)


def closures(needs: Mapping[str, Iterable[str]]) -> dict[str, set[str]]:
    """Return what each package reaches, itself left out."""
    return {name: _closure(name, needs) for name in needs}


def _closure(name: str, needs: Mapping[str, Iterable[str]]) -> set[str]:
    reached = {name}
    waiting = list(needs[name])
    while waiting:
        need = waiting.pop()
        if need not in reached:
            reached.add(need)
            waiting.extend(needs[need])
    return reached - {name}
