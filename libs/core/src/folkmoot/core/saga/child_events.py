"""What is decided about sagas that run as a step of another one."""

from __future__ import annotations

from dataclasses import dataclass

from folkmoot.core.messages import Address, Json, Outcome


@dataclass(frozen=True, slots=True)
class Parent:
    """Whose step a saga is, and which call of it waits for an answer.

    `undoes` says that the call is to undo it; `results` are what its plan may look at.
    """

    saga_id: str
    step_id: str
    call_id: str
    attempt: int
    outcome_to: Address
    depth: int
    results: Json = None
    undoes: bool = False


@dataclass(frozen=True, slots=True)
class ChildAnswered:
    """The parent of `saga_id` is told what becomes of a call, and nothing changes by it."""

    saga_id: str
    outcome_to: Address
    outcome: Outcome


@dataclass(frozen=True, slots=True)
class SagaHeld:
    """A saga has its result, which its parent is told; until that ends it may still be undone."""

    saga_id: str
    result: Json


@dataclass(frozen=True, slots=True)
class SagaReleased:
    """The parent will not have the saga undone: one that is held has ended by this."""

    saga_id: str


@dataclass(frozen=True, slots=True)
class UndoAsked:
    """The parent asks to have the saga undone, and waits for that from here on."""

    saga_id: str
    call_id: str
    attempt: int
    outcome_to: Address
