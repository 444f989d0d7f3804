"""Numbers the sources of claims: the same fact has the same number wherever it is cited."""

from __future__ import annotations

import json
from collections.abc import Iterable

from folkmoot.dossier.facts import Fact
from folkmoot.dossier.models import Citation

CITATIONS_BYTES_MAX = 300 * 1024
"""Of all citations as JSON: they travel in the draft, and a message holds 512 KiB. That is about
2,000 citations, of everything in an environment of 300 packages. Beyond it claims are counted,
not numbered; what matters most is cited first."""


class Citations:
    """The sources cited so far, in the order of their first citation."""

    def __init__(self, bytes_max: int = CITATIONS_BYTES_MAX) -> None:
        self.all: list[Citation] = []
        self.left_out: set[str] = set()
        self._numbers: dict[str, int] = {}
        self._bytes_left = bytes_max

    def facts(self, facts: Iterable[Fact]) -> list[int]:
        """Return the numbers of facts, but for those that there is no room for."""
        numbers = (self._number(fact) for fact in facts)
        return [number for number in numbers if number is not None]

    def _number(self, fact: Fact) -> int | None:
        key = json.dumps(fact)
        if key not in self._numbers:
            citation = Citation(number=len(self.all) + 1, **fact._asdict())
            size = len(citation.model_dump_json())
            if size > self._bytes_left:
                self.left_out.add(key)
                return None
            self._bytes_left -= size
            self._numbers[key] = citation.number
            self.all.append(citation)
        return self._numbers[key]
