"""Shared knowledge that merges by itself: delta-state CRDTs and the replica that exchanges them."""

from folkmoot.core.crdt.counters import ACTORS_MAX, GCounter, LimitExceeded, PNCounter
from folkmoot.core.crdt.dots import Dot, Dots, MalformedState
from folkmoot.core.crdt.orset import ELEMENT_BYTES_MAX, ELEMENTS_MAX, ORSet
from folkmoot.core.crdt.replica import (
    KINDS,
    NAME,
    PART_ENTRIES_MAX,
    Crdt,
    Replica,
    canonical_bytes,
    from_json,
    parts_of,
)

__all__ = [
    "ACTORS_MAX",
    "ELEMENTS_MAX",
    "ELEMENT_BYTES_MAX",
    "KINDS",
    "NAME",
    "PART_ENTRIES_MAX",
    "Crdt",
    "Dot",
    "Dots",
    "GCounter",
    "LimitExceeded",
    "MalformedState",
    "ORSet",
    "PNCounter",
    "Replica",
    "canonical_bytes",
    "from_json",
    "parts_of",
]
