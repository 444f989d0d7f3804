"""What a worker's shard decides. The log of these is the journal of every agent's work."""

from __future__ import annotations

from dataclasses import dataclass

from folkmoot.core.messages import Call, CallKind, Failure, Json, OutcomeStatus
from folkmoot.core.names import by_wire_name


@dataclass(frozen=True, slots=True)
class CallAccepted:
    """A call is in the worker's hands; it will run until it has ended, whoever leads."""

    saga_id: str
    call: Call


@dataclass(frozen=True, slots=True)
class CallStarted:
    """`member` runs the handler, for the `run`-th time. Recorded before the handler is entered."""

    saga_id: str
    step_id: str
    call_id: str
    kind: CallKind
    run: int
    member: str


@dataclass(frozen=True, slots=True)
class CallJournaled:
    """A call that the handler made has a result, which a later run takes from here."""

    saga_id: str
    step_id: str
    call_id: str
    key: str
    value: Json
    run: int


@dataclass(frozen=True, slots=True)
class CallProgressed:
    """The handler is still at it; whoever awaits its call is told."""

    saga_id: str
    call_id: str


@dataclass(frozen=True, slots=True)
class CallAsked:
    """The handler asked something, and waits; its deadline does not come nearer meanwhile."""

    saga_id: str
    step_id: str
    call_id: str
    key: str
    prompt: str
    schema: Json
    wait_ms: int
    signal: str


@dataclass(frozen=True, slots=True)
class CallAnswered:
    """What the handler asked is answered, or never will be; every later run is told the same."""

    saga_id: str
    call_id: str
    key: str
    value: Json
    answered: bool


@dataclass(frozen=True, slots=True)
class CallStopRequested:
    """The running handler was told to stop; it still answers for itself."""

    saga_id: str
    call_id: str


@dataclass(frozen=True, slots=True)
class CallEnded:
    """The call has its one outcome."""

    saga_id: str
    step_id: str
    call_id: str
    status: OutcomeStatus
    run: int
    member: str
    duration_ms: int
    result: Json = None
    failure: Failure | None = None


EVENTS = by_wire_name(
    CallAccepted,
    CallStarted,
    CallJournaled,
    CallProgressed,
    CallAsked,
    CallAnswered,
    CallStopRequested,
    CallEnded,
)
