"""The limits of shared knowledge, each with its reason, and the errors that state them.

What a user does is held to the limits. What peers say is held to `MERGE_SLACK` times as much:
replicas that add at the same time may together exceed a limit that each of them kept, and must
still become equal.
"""

from __future__ import annotations

ELEMENTS_MAX = 100_000
"""Living additions of one set: about 60 MB of memory, and a second to tell a newcomer of."""

ELEMENT_BYTES_MAX = 64 * 1024
"""Of one element's JSON, so that several fit a message. Keep larger things elsewhere, by name."""

ELEMENT_DEPTH_MAX = 32
"""Nesting of one element: deep enough for any document, far from Python's own limit."""

INTERVALS_MAX = 200_000
"""Of what a set has dropped: there is at most one interval for each addition and each replica."""

ACTORS_MAX = 100_000
"""Actors of one counter: about 20 MB. Beyond it, count in several counters or by coarser actors."""

NUMBER_MAX = (1 << 53) - 1
"""The largest integer that JSON readers in every language read exactly (RFC 7493)."""

DOCUMENTS_MAX = 10_000
"""Documents of one replica, so that a name made by mistake for each step cannot fill its memory."""

ID_BYTES_MAX = 512
"""Of a replica's id, an actor or a tag: longer than any of ours, and small in a message."""

MESSAGE_BYTES_MAX = 512 * 1024
"""Of one message: half of NATS's default `max_payload`, the rest is for what wraps it."""

MERGE_SLACK = 2
"""How many times a limit a state may grow to by merging."""


class LimitExceeded(ValueError):
    """A change would exceed a limit. Nothing was changed."""


class MalformedState(ValueError):
    """What was received is no state, digest or message of a CRDT. It was ignored."""


class KindMismatch(MalformedState):
    """A document is of one kind here and of another kind there. Nothing was merged."""


def check_id(value: object, what: str) -> str:
    """Return `value` if it can name a replica, an actor or a tag.

    Raises:
        MalformedState: it is no text, empty, too long, or cannot be written as UTF-8.
    """
    if not isinstance(value, str) or not value:
        raise MalformedState(f"{value!r} is no {what}: it must be a text")
    try:
        size = len(value.encode())
    except UnicodeEncodeError as error:
        raise MalformedState(f"{value!r} is no {what}: it is no Unicode text") from error
    if size > ID_BYTES_MAX:
        raise MalformedState(f"{value[:40]!r}… is no {what}: it has more than {ID_BYTES_MAX} bytes")
    return value
