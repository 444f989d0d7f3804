"""What the orchestrator decides. All events of a saga carry its id, and are its history."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from folkmoot.core.messages import Budget, Failure, Json, Usage
from folkmoot.core.names import by_wire_name
from folkmoot.core.saga.child_events import (
    ChildAnswered,
    Parent,
    SagaHeld,
    SagaReleased,
    UndoAsked,
)
from folkmoot.core.saga.control_events import (
    ControlAccepted,
    ControlRefused,
    QuestionAnswered,
    QuestionAsked,
    QuestionExpired,
    SagaAdmitted,
    SagaPaused,
    SagaQueued,
    SagaResumed,
    SignalKept,
)
from folkmoot.core.saga.plan_events import PlanRecorded
from folkmoot.core.shares import Share

ForwardKind = Literal["plan", "step", "aggregate"]


@dataclass(frozen=True, slots=True)
class TeamKnown:
    """Tasks for this team can be taken from here on."""

    team: str


@dataclass(frozen=True, slots=True)
class TaskRefused:
    """A task is not taken on; nothing was done for it."""

    saga_id: str
    team: str
    failure: Failure


@dataclass(frozen=True, slots=True)
class TaskRejoined:
    """A task was published again whose saga has ended: its result is told again."""

    saga_id: str


@dataclass(frozen=True, slots=True)
class SagaOpened:
    """A task is taken on: by one of the team's definitions, or for one plan only, if it says so.

    A fork goes on from the saga `forked_from`, as it was after the first `forked_at` of its events.
    """

    saga_id: str
    team: str
    input: Json
    traceparent: str | None = None
    budget: Budget | None = None
    definition: str = ""
    plan_hash: str = ""
    parent: Parent | None = None
    share: Share | None = None
    forked_from: str = ""
    forked_at: int = 0


@dataclass(frozen=True, slots=True)
class ResultsCarriedOver:
    """These steps, by id, were done in the saga that this one is a fork of; here they never run."""

    saga_id: str
    results: dict[str, Json]


@dataclass(frozen=True, slots=True)
class StepScheduled:
    """An attempt begins. From here on the step counts as having had an effect, maybe.

    Compensation is thereby registered before the attempt can do anything. Only a refusal, which
    says that the attempt never began, takes it back.
    """

    saga_id: str
    step_id: str
    kind: ForwardKind
    attempt: int
    call_id: str
    deadline_at: int
    expires_at: int


@dataclass(frozen=True, slots=True)
class StepSucceeded:
    """A step has its result."""

    saga_id: str
    step_id: str
    result: Json
    attempt: int
    member: str
    runs: int
    duration_ms: int


@dataclass(frozen=True, slots=True)
class StepRetryScheduled:
    """An attempt failed; the next begins at `at`."""

    saga_id: str
    step_id: str
    attempt: int
    at: int
    failure: Failure


@dataclass(frozen=True, slots=True)
class StepDeferred:
    """An attempt was not admitted; it is tried again at `at`, and does not count."""

    saga_id: str
    step_id: str
    attempt: int
    at: int
    failure: Failure


@dataclass(frozen=True, slots=True)
class StepFailed:
    """A step has failed for good, or was given up because the saga is being undone.

    `begun`: this last attempt may have had an effect; it was not refused.
    """

    saga_id: str
    step_id: str
    attempt: int
    failure: Failure
    begun: bool = True


@dataclass(frozen=True, slots=True)
class BudgetSpent:
    """A call has used something up, whatever came of it."""

    saga_id: str
    step_id: str
    usage: Usage


@dataclass(frozen=True, slots=True)
class WallTimePassed:
    """The saga has taken longer than its budget allows."""

    saga_id: str


@dataclass(frozen=True, slots=True)
class StepOmitted:
    """A step's condition does not hold: it never begins, and has no result."""

    saga_id: str
    step_id: str


@dataclass(frozen=True, slots=True)
class StepReleased:
    """A step's condition holds: it begins when there is room."""

    saga_id: str
    step_id: str


@dataclass(frozen=True, slots=True)
class StepExpanded:
    """A step is run once for each of `count` items, as steps of their own: `STEP[0]` and so on."""

    saga_id: str
    step_id: str
    count: int


@dataclass(frozen=True, slots=True)
class StepJoined:
    """All parts of an expanded step have ended; its result is the list of theirs."""

    saga_id: str
    step_id: str


@dataclass(frozen=True, slots=True)
class StepStuck:
    """A step that must not fail has failed for good, or too often. It is still retried."""

    saga_id: str
    step_id: str
    attempts: int
    failure: Failure


@dataclass(frozen=True, slots=True)
class StepProgressed:
    """A worker has begun an attempt, or shows that it is still at it: it is awaited until then."""

    saga_id: str
    step_id: str
    call_id: str
    expires_at: int


@dataclass(frozen=True, slots=True)
class CallAbandoned:
    """A call was not answered in time. Nobody waits for it any more; who has it is told."""

    saga_id: str
    step_id: str
    call_id: str


@dataclass(frozen=True, slots=True)
class CompensationStarted:
    """The saga goes backwards from here on, because of `failure`, of `step_id` if it is one's.

    What is under way is cancelled.
    """

    saga_id: str
    failure: Failure
    step_id: str | None = None


@dataclass(frozen=True, slots=True)
class UndoingStarted:
    """No forward call is under way any more; undoing begins with what nothing depends on."""

    saga_id: str


@dataclass(frozen=True, slots=True)
class StepCompensationScheduled:
    """An attempt to undo a step begins. `in_doubt`: it is not known whether it took effect."""

    saga_id: str
    step_id: str
    attempt: int
    call_id: str
    deadline_at: int
    expires_at: int
    in_doubt: bool


@dataclass(frozen=True, slots=True)
class StepCompensationRetryScheduled:
    """Undoing did not succeed yet; the next attempt begins at `at`."""

    saga_id: str
    step_id: str
    attempt: int
    at: int
    failure: Failure


@dataclass(frozen=True, slots=True)
class CompensationStuck:
    """Undoing a step has failed so often that somebody should look. It is still retried."""

    saga_id: str
    step_id: str
    attempts: int
    failure: Failure


@dataclass(frozen=True, slots=True)
class StepCompensated:
    """A step is undone."""

    saga_id: str
    step_id: str


@dataclass(frozen=True, slots=True)
class StepPassedOver:
    """Undoing reaches a step that has no compensation, or of which no attempt ever began."""

    saga_id: str
    step_id: str


@dataclass(frozen=True, slots=True)
class OutcomeIgnored:
    """An answer came that nobody waits for: late, doubled, or of an earlier attempt."""

    saga_id: str
    step_id: str
    call_id: str
    status: str


@dataclass(frozen=True, slots=True)
class SagaCompleted:
    """All is done."""

    saga_id: str
    result: Json


@dataclass(frozen=True, slots=True)
class SagaCompensated:
    """All that was begun is undone."""

    saga_id: str
    failure: Failure
    failed_step: str | None


@dataclass(frozen=True, slots=True)
class SagaFailed:
    """It ended before anything was begun that would have to be undone."""

    saga_id: str
    failure: Failure
    failed_step: str | None


@dataclass(frozen=True, slots=True)
class SagaTerminated:
    """An operator ended it. What was begun is not undone."""

    saga_id: str
    failure: Failure


@dataclass(frozen=True, slots=True)
class StepSkipped:
    """The saga goes on as if the step had no result. It may have had an effect."""

    saga_id: str
    step_id: str


@dataclass(frozen=True, slots=True)
class StepCompensationSkipped:
    """A step stays as it is: undoing goes on without it."""

    saga_id: str
    step_id: str


@dataclass(frozen=True, slots=True)
class GraceGiven:
    """After a change of leader no deadline takes effect before `until`, and then few at once.

    `at_once` is how many, if not 0.
    """

    until: int
    at_once: int = 0


EVENTS = by_wire_name(
    TeamKnown,
    TaskRefused,
    TaskRejoined,
    SagaOpened,
    PlanRecorded,
    ResultsCarriedOver,
    StepScheduled,
    StepSucceeded,
    StepRetryScheduled,
    StepDeferred,
    StepFailed,
    BudgetSpent,
    WallTimePassed,
    StepOmitted,
    StepReleased,
    StepExpanded,
    StepJoined,
    StepStuck,
    StepProgressed,
    QuestionAsked,
    QuestionAnswered,
    QuestionExpired,
    SignalKept,
    CallAbandoned,
    CompensationStarted,
    UndoingStarted,
    StepCompensationScheduled,
    StepCompensationRetryScheduled,
    CompensationStuck,
    StepCompensated,
    StepPassedOver,
    OutcomeIgnored,
    SagaCompleted,
    SagaCompensated,
    SagaFailed,
    SagaTerminated,
    ControlAccepted,
    ControlRefused,
    SagaPaused,
    SagaResumed,
    SagaQueued,
    SagaAdmitted,
    StepSkipped,
    StepCompensationSkipped,
    GraceGiven,
    ChildAnswered,
    SagaHeld,
    SagaReleased,
    UndoAsked,
)
