"""Shared knowledge that merges by itself: delta-state CRDTs and the replica that exchanges them.

See README.md beside this file for the laws and invariants.
"""

from folkmoot.core.crdt.causal import Causal, Payload
from folkmoot.core.crdt.counters import GCounter, PNCounter
from folkmoot.core.crdt.dots import Dot, Dots
from folkmoot.core.crdt.elements import NotJson, canonical
from folkmoot.core.crdt.kinds import KINDS, Crdt, canonical_bytes, from_json, gather, join
from folkmoot.core.crdt.limits import (
    ACTORS_MAX,
    DOCUMENTS_MAX,
    ELEMENT_BYTES_MAX,
    ELEMENTS_MAX,
    MESSAGE_BYTES_MAX,
    KindMismatch,
    LimitExceeded,
    MalformedState,
)
from folkmoot.core.crdt.messages import (
    DIGEST_SUBJECT,
    Delta,
    InvalidName,
    Message,
    Question,
    Summary,
    check_name,
    decode,
    encode,
)
from folkmoot.core.crdt.orset import ORSet
from folkmoot.core.crdt.replica import ENVELOPE_BYTES, Problem, Replica

__all__ = [
    "ACTORS_MAX",
    "DIGEST_SUBJECT",
    "DOCUMENTS_MAX",
    "ELEMENTS_MAX",
    "ELEMENT_BYTES_MAX",
    "ENVELOPE_BYTES",
    "KINDS",
    "MESSAGE_BYTES_MAX",
    "Causal",
    "Crdt",
    "Delta",
    "Dot",
    "Dots",
    "GCounter",
    "InvalidName",
    "KindMismatch",
    "LimitExceeded",
    "MalformedState",
    "Message",
    "NotJson",
    "ORSet",
    "PNCounter",
    "Payload",
    "Problem",
    "Question",
    "Replica",
    "Summary",
    "canonical",
    "canonical_bytes",
    "check_name",
    "decode",
    "encode",
    "from_json",
    "gather",
    "join",
]
