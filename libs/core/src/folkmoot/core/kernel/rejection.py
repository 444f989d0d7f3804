"""Input that cannot be accepted: recorded like any decision, so that it is dealt with once.

A leader that cannot make sense of a record logs `InputRejected` for it. The dead letter is the
effect of that entry, and the partition goes on with the next record.
"""

from __future__ import annotations

from dataclasses import dataclass

from folkmoot.core.kernel.machine import Send
from folkmoot.core.kernel.records import NOTHING

DEAD_LETTERS = "folkmoot.dead-letters"
EXCERPT_BYTES_MAX = 4096
"""How much of a rejected record its dead letter quotes: enough to recognise it, and little enough
that a flood of oversized records does not become a flood of oversized dead letters."""


@dataclass(frozen=True, slots=True)
class Undecodable:
    """Input: a record that is not a message the machine takes."""

    reason: str
    detail: str
    type: str = ""
    excerpt: str = ""


@dataclass(frozen=True, slots=True)
class InputRejected:
    """Event: the record at `offset` of `topic` was not accepted, and why."""

    topic: str
    offset: int
    reason: str
    detail: str
    type: str = ""
    excerpt: str = ""

    @classmethod
    def of(cls, topic: str | None, offset: int, input_: Undecodable) -> InputRejected:
        """Return the event for an input that came by `topic`."""
        return cls(topic or "", offset, input_.reason, input_.detail, input_.type, input_.excerpt)


@dataclass(frozen=True, slots=True)
class DeadLetter:
    """Message on `folkmoot.dead-letters`."""

    topic: str
    offset: int = NOTHING
    reason: str = ""
    detail: str = ""
    type: str = ""
    excerpt: str = ""


def dead_letter(event: InputRejected) -> Send:
    """Return the effect that puts a rejected input where an operator finds it."""
    letter = DeadLetter(
        event.topic, event.offset, event.reason, event.detail, event.type, event.excerpt
    )
    return Send(DEAD_LETTERS, letter, key=event.topic)
