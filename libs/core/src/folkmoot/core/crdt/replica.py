"""A replica of shared documents, without any input or output: what to say, and what to learn.

Deltas are told at once; a digest of every document is told now and then, and whoever knows more
answers with what is lacking. So nothing depends on any one message, nor on its order.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Any

from folkmoot.core.crdt.counters import GCounter, LimitExceeded, PNCounter
from folkmoot.core.crdt.dots import MalformedState
from folkmoot.core.crdt.orset import ORSet

Crdt = GCounter | PNCounter | ORSet
KINDS: Mapping[str, type[Crdt]] = {cls.KIND: cls for cls in (GCounter, PNCounter, ORSet)}

DOCUMENTS_MAX = 10_000
"""Documents of one replica, so that a stray name generator cannot fill its memory."""

PART_ENTRIES_MAX = 1_000
"""Elements in one message: with facts of some hundred bytes, well under NATS's megabyte."""

NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,99}")
"""Names of documents: they are part of subjects and keys."""


def from_json(value: Any) -> Crdt:
    """Return the CRDT in JSON values.

    Raises:
        MalformedState: they are none that is known here.
    """
    kind = value.get("kind") if isinstance(value, dict) else None
    if not isinstance(kind, str) or kind not in KINDS:
        raise MalformedState(f"{kind!r} is none of: {', '.join(sorted(KINDS))}")
    return KINDS[kind].from_json(value)


def parts_of(crdt: Crdt) -> list[Crdt]:
    """Return parts that join to `crdt` and fit a message each."""
    return list(crdt.split(PART_ENTRIES_MAX)) if isinstance(crdt, ORSet) else [crdt]


class Replica:
    """The documents of one replica. `replica` must be new for each incarnation of a process."""

    def __init__(self, replica: str) -> None:
        self.replica = replica
        self.documents: dict[str, Crdt] = {}
        self.mismatches = 0

    def document(self, name: str, cls: type[Crdt]) -> Crdt:
        """Return a document, made when first asked for.

        Raises:
            ValueError: the name cannot be one.
            MalformedState: it exists and is of another kind.
            LimitExceeded: there are too many documents.
        """
        if name not in self.documents:
            self._check_new(name)
            self.documents[name] = cls(self.replica)
        found = self.documents[name]
        if not isinstance(found, cls):
            raise MalformedState(f"document {name!r} is a {found.KIND}, not a {cls.KIND}")
        return found

    def _check_new(self, name: str) -> None:
        if not NAME.fullmatch(name):
            raise ValueError(
                f"{name!r} is no name for a document: use up to 100 letters, digits, '-' and '_'"
            )
        if len(self.documents) >= DOCUMENTS_MAX:
            raise LimitExceeded(f"a replica has at most {DOCUMENTS_MAX:,} documents")

    def receive(self, name: str, delta: Crdt) -> bool:
        """Join what a peer says of a document; whether that was news.

        Raises:
            MalformedState: the document is of another kind here.
        """
        mine = self.document(name, type(delta))
        return mine.merge(delta)  # type: ignore[arg-type]

    def digest(self) -> dict[str, Any]:
        """Return what peers need to know to tell what this replica lacks."""
        return {
            name: {"kind": crdt.KIND, "seen": crdt.digest()}
            for name, crdt in sorted(self.documents.items())
        }

    def answer(self, digest: Any) -> dict[str, Crdt]:
        """Return what a peer with `digest` lacks, by document.

        Raises:
            MalformedState: that is no digest.
        """
        if not isinstance(digest, dict):
            raise MalformedState("a digest is an object by document")
        lacking = {}
        for name, mine in self.documents.items():
            theirs = digest.get(name, {"kind": mine.KIND, "seen": type(mine)().digest()})
            if not isinstance(theirs, dict) or theirs.get("kind") != mine.KIND:
                self.mismatches += 1
                continue
            delta = mine.delta_since(theirs.get("seen"))
            if delta is not None:
                lacking[name] = delta
        return lacking


def canonical_bytes(crdt: Crdt) -> bytes:
    """Return the same bytes for equal states, to compare replicas by."""
    return json.dumps(crdt.to_json(), sort_keys=True, separators=(",", ":")).encode()
