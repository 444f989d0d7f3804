"""What a saga says to the sagas that its steps run, and they to nobody else.

They go from one shard of the orchestrator to another, or to itself; the answer to what asks for one
is an `Outcome` to `outcome_to`, as from any worker. `saga_id` and `step_id` are the parent's.
"""

from __future__ import annotations

from dataclasses import dataclass
from hashlib import blake2b

from folkmoot.core.messages import Address, Budget, Json
from folkmoot.core.shares import Share


@dataclass(frozen=True, slots=True)
class StartChild:
    """Run a saga as one attempt of a step. `results` are those of the steps that it needs.

    `budget` is what is left of the parent's; `depth` counts the sagas above it.
    """

    child_id: str
    call_id: str
    saga_id: str
    step_id: str
    attempt: int
    team: str
    definition: str
    input: Json
    results: Json
    depth: int
    outcome_to: Address
    budget: Budget | None = None
    traceparent: str | None = None
    share: Share | None = None


@dataclass(frozen=True, slots=True)
class UndoChild:
    """Undo a saga, whether it has ended or not."""

    child_id: str
    call_id: str
    saga_id: str
    step_id: str
    attempt: int
    outcome_to: Address


@dataclass(frozen=True, slots=True)
class CancelChild:
    """Nobody waits for this call any more: a saga that runs for it undoes what it did."""

    child_id: str
    call_id: str


@dataclass(frozen=True, slots=True)
class PauseChild:
    """The parent is paused by `actor`: nothing of a saga that runs for it begins either."""

    child_id: str
    actor: str


@dataclass(frozen=True, slots=True)
class ResumeChild:
    """The parent goes on, and so does a saga that was paused with it."""

    child_id: str


@dataclass(frozen=True, slots=True)
class ReleaseChild:
    """The parent has ended: nobody will ask to have the child undone."""

    child_id: str


def child_id_of(call_id: str) -> str:
    """Return the id of the saga that a call runs: each attempt has a saga of its own."""
    return blake2b(f"child\n{call_id}".encode(), digest_size=10).hexdigest()
