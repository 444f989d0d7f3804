"""Numbers the sources of claims: the same fact has the same number wherever it is cited."""

from __future__ import annotations

import json
from typing import Any

from folkmoot.dossier.facts import Fact
from folkmoot.dossier.models import Citation, Problem


class Citations:
    """The sources cited so far, in the order of their first citation."""

    def __init__(self) -> None:
        self._numbers: dict[str, int] = {}
        self.all: list[Citation] = []

    def fact(self, fact: Fact) -> int:
        """Return the number of a fact."""
        return self._number(fact.subject, fact.predicate, fact.value, fact.source)

    def problem(self, problem: Problem) -> int:
        """Return the number of the requirement that a problem is about."""
        return self._number(problem.package, "requires", problem.requirement, problem.source)

    def _number(self, subject: str, predicate: str, value: Any, source: str) -> int:
        key = json.dumps([subject, predicate, value, source], sort_keys=True)
        if key not in self._numbers:
            number = self._numbers[key] = len(self.all) + 1
            self.all.append(
                Citation(
                    number=number, subject=subject, predicate=predicate, value=value, source=source
                )
            )
        return self._numbers[key]
