"""Reads every cited source again: a claim holds if the place it cites still says so."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable

from folkmoot.dossier.facts import Fact, Reading, read
from folkmoot.dossier.models import Citation


def citations_that_do_not_hold(
    citations: Iterable[Citation], read_one: Callable[[str], Reading] = read
) -> list[Citation]:
    """Return the citations whose source, read again from disk, does not say what they claim."""
    said: dict[str, set[str]] = {}
    wrong = []
    for citation in citations:
        if citation.subject not in said:
            said[citation.subject] = {_text(fact) for fact in read_one(citation.subject).facts}
        claimed = Fact(citation.subject, citation.predicate, citation.value, citation.source)
        if _text(claimed) not in said[citation.subject]:
            wrong.append(citation)
    return wrong


def _text(fact: Fact) -> str:
    return json.dumps(fact, sort_keys=True)
