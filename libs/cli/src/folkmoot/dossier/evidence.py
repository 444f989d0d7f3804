"""Which facts a conclusion rests on, so that it can cite them."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from folkmoot.dossier.analysis import index, requirements
from folkmoot.dossier.facts import Fact
from folkmoot.dossier.licences import conclude
from folkmoot.dossier.models import Problem
from folkmoot.dossier.requirements import Need


class Evidence:
    """All facts, by what is concluded from them."""

    def __init__(self, facts: Iterable[Sequence[Any]]) -> None:
        self._known = index(facts)
        self._required = requirements(self._known)
        self._users: dict[str, list[Need]] = {}
        for need in (need for needs in self._required.needs.values() for need in needs):
            self._users.setdefault(need.name, []).append(need)

    def of(self, name: str, *predicates: str) -> list[Fact]:
        """Return what is known of a package under some predicates."""
        facts = self._known.get(name, {})
        return [fact for predicate in predicates for fact in facts.get(predicate, ())]

    def licence(self, name: str) -> list[Fact]:
        """Return the facts that a package's licence was concluded from."""
        facts = self._known.get(name, {})
        found = conclude({predicate: [f.value for f in each] for predicate, each in facts.items()})
        return self.of(name, *found.predicates)

    def needs(self, name: str, needed: str | None = None) -> list[Fact]:
        """Return the requirements of a package that count; of `needed` only, if given."""
        needs = self._required.needs.get(name, ())
        return [need.fact for need in needs if needed in (None, need.name)]

    def users(self, name: str) -> list[Fact]:
        """Return the requirements by which others need a package."""
        return [need.fact for need in self._users.get(name, ()) if need.fact.subject != name]

    def optional(self, name: str, needed: str) -> list[Fact]:
        """Return the requirements by which a package would need another for an extra."""
        stated = (Need.of(fact) for fact in self.of(name, "requires"))
        return [need.fact for need in stated if need.name == needed]

    def all_needs(self) -> list[Fact]:
        """Return every requirement that counts."""
        return [need.fact for needs in self._required.needs.values() for need in needs]

    def problem(self, problem: Problem) -> list[Fact]:
        """Return the fact that a problem is about."""
        facts = self._known.get(problem.package, {})
        return [
            fact
            for facts_of in facts.values()
            for fact in facts_of
            if (fact.source, fact.value) == (problem.source, problem.requirement)
        ]
