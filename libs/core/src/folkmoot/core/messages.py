"""What services say to each other, as plain data: immutable records of JSON values.

`folkmoot.contracts` puts them into CloudEvents and checks them on arrival. Those that ask are
imperative (`Call`, `Join`), those that tell past tense (`TeamFormed`). Times are milliseconds.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Literal

from folkmoot.core.forks import Fork
from folkmoot.core.shares import Limit, Share

Json = Any
"""Any JSON value: None, bool, int, float, str, list, dict with str keys."""

TASKS = "folkmoot.tasks"
TASK_RESULTS = "folkmoot.task-results"
LEADERS = "folkmoot.leaders"

CallKind = Literal["plan", "step", "compensate", "aggregate"]
OutcomeStatus = Literal["succeeded", "failed", "refused"]


@dataclass(frozen=True, slots=True)
class Address:
    """A partition of an inbox: where an answer goes."""

    topic: str
    partition: int


def inbox(service: str) -> str:
    """Return the inbox topic of a service, of `agent.NAME` or of `team.NAME`."""
    return f"folkmoot.{service}.inbox"


def log(service: str) -> str:
    """Return the log topic of a service, of `agent.NAME` or of `team.NAME`."""
    return f"folkmoot.{service}.log"


def snapshots(log: str) -> str:
    """Return the topic of the snapshots of the shards that have this log."""
    return f"{log.removesuffix('.log')}.snapshots"


# -- tasks: users and the saga orchestrator ---------------------------------------------------


@dataclass(frozen=True, slots=True)
class Budget:
    """What a saga may use up before it is turned back; 0 is no limit.

    Money is in millionths of a dollar. What a model spent that nobody can price is no zero: with a
    limit of money it turns the saga back as well, unless `unpriced_allowed`.
    """

    tokens: int = 0
    micros: int = 0
    hops: int = 0
    wall_ms: int = 0
    unpriced_allowed: bool = False


@dataclass(frozen=True, slots=True)
class Usage:
    """What a call used up, `unpriced` times at no known price; a saga's also its hops."""

    tokens: int = 0
    micros: int = 0
    unpriced: int = 0
    hops: int = 0


@dataclass(frozen=True, slots=True)
class Task:
    """A user wants `team` to do something.

    The CloudEvent's source and id make `saga_id`: publishing it again joins the same saga. It runs
    by one of the team's definitions or its own `plan`; with a `plan_hash`, only by that very plan.
    """

    team: str
    input: Json = None
    saga_id: str = ""
    traceparent: str | None = None
    budget: Budget | None = None
    definition: str = ""
    plan: Json = None
    plan_hash: str = ""
    share: Share | None = None
    fork: Fork | None = None


@dataclass(frozen=True, slots=True)
class Failure:
    """Why something went wrong, for people and for programs.

    `kind` is a stable word such as `timed-out`, `unknown-agent` or the class of the exception.
    """

    kind: str
    detail: str
    retryable: bool = True
    retry_after_ms: int | None = None


@dataclass(frozen=True, slots=True)
class TaskResult:
    """The outcome of a task, for its user. `state` is the saga's terminal state."""

    saga_id: str
    team: str
    state: Literal["completed", "compensated", "failed", "refused", "terminated"]
    result: Json = None
    failure: Failure | None = None
    failed_step: str | None = None
    not_undone: tuple[str, ...] = ()
    """Of a compensated saga: the first steps whose compensation an operator skipped."""


@dataclass(frozen=True, slots=True)
class TeamFormed:
    """A team has its first member, so that tasks for it can be taken."""

    team: str


# -- control: users and operators -> the saga orchestrator ------------------------------------
# Each says who asks and why. With a `request_id` the answer is announced, and can be asked for; an
# id is answered once. What does not fit is refused, and changes nothing.


@dataclass(frozen=True, slots=True)
class CancelSaga:
    """Stop a saga and undo what it did. A paused saga is undone when it is resumed."""

    saga_id: str
    actor: str
    reason: str = ""
    request_id: str = ""


@dataclass(frozen=True, slots=True)
class PauseSaga:
    """Begin nothing more of a saga and stop its clocks; calls under way may still be answered."""

    saga_id: str
    actor: str
    reason: str = ""
    request_id: str = ""


@dataclass(frozen=True, slots=True)
class ResumeSaga:
    """Let a paused saga go on, its clocks with what was left on them."""

    saga_id: str
    actor: str
    reason: str = ""
    request_id: str = ""


@dataclass(frozen=True, slots=True)
class TerminateSaga:
    """End a saga at once. Nothing is undone: for operators, when nothing else helps."""

    saga_id: str
    actor: str
    reason: str = ""
    request_id: str = ""


@dataclass(frozen=True, slots=True)
class RetryStep:
    """Begin now the next attempt that a step, or its compensation, waits for."""

    saga_id: str
    step_id: str
    actor: str
    reason: str = ""
    request_id: str = ""


@dataclass(frozen=True, slots=True)
class SkipStep:
    """Go on without a step that was begun, or without undoing it if it is being undone."""

    saga_id: str
    step_id: str
    actor: str
    reason: str = ""
    request_id: str = ""


@dataclass(frozen=True, slots=True)
class ForceComplete:
    """Take a step as done with `result`, or as undone if it is being undone: somebody saw to it."""

    saga_id: str
    step_id: str
    actor: str
    reason: str = ""
    result: Json = None
    request_id: str = ""


@dataclass(frozen=True, slots=True)
class AnswerQuestion:
    """Answer a question that a step asks of people. Each is answered once."""

    saga_id: str
    question_id: str
    actor: str
    value: Json = None
    reason: str = ""
    request_id: str = ""


@dataclass(frozen=True, slots=True)
class SignalSaga:
    """Let whatever waits for `name` in a saga go on with `value`; kept until something does."""

    saga_id: str
    name: str
    actor: str
    value: Json = None
    reason: str = ""
    request_id: str = ""


# -- calls: orchestrator -> breaker (or team) -> worker -> orchestrator ------------------------


@dataclass(frozen=True, slots=True)
class Call:
    """One attempt to run a step, a compensation or a leader's hook.

    `idempotency_key` is the same for every attempt and every run of the same thing. `recorded` is
    the step's result for a compensation (None if it is in doubt), and results by step id
    otherwise: of what a step needs, or of all steps for an aggregation. `target` is the agent, or
    the team for a leader's hook. `outcome_to` receives the `Outcome`; `observed_by`, set by the
    breaker, a copy. A worker refuses to begin after `start_by`, and reports `CallProgress` when it
    begins and at least every `heartbeat_ms`; 0 means that it need not. Its times are by the clock
    by which it was `sent_at`: see `shift_ms`.
    """

    call_id: str
    saga_id: str
    step_id: str
    kind: CallKind
    name: str
    target: str
    team: str
    attempt: int
    input: Json
    idempotency_key: str
    deadline_at: int
    outcome_to: Address
    recorded: Json = None
    in_doubt: bool = False
    observed_by: Address | None = None
    traceparent: str | None = None
    start_by: int = 0
    heartbeat_ms: int = 0
    sent_at: int = 0
    share: Share | None = None


@dataclass(frozen=True, slots=True)
class CallProgress:
    """A worker has begun this call, or is still at it."""

    call_id: str
    saga_id: str
    step_id: str


@dataclass(frozen=True, slots=True)
class Question:
    """A call waits for a person's answer, or for `signal` if given, until `deadline_at`.

    `question_id` is the same for every attempt that asks this; `key` tells it from the others of
    the call. `schema` is JSON Schema. `answer_to` receives the `Answer`. Of times see `shift_ms`.
    """

    question_id: str
    call_id: str
    saga_id: str
    step_id: str
    key: str
    prompt: str
    schema: Json
    deadline_at: int
    answer_to: Address
    signal: str = ""
    sent_at: int = 0


def shift_ms(message: Call | Question, now: int) -> int:
    """Return what to add to the times of a message that is received at `now`: no clocks need agree.

    The way to here takes no time. Without `sent_at`, which is new, times are taken as they are.
    """
    return now - message.sent_at if message.sent_at else 0


@dataclass(frozen=True, slots=True)
class Answer:
    """What a call asked is answered, or not `answered` in time."""

    call_id: str
    saga_id: str
    key: str
    value: Json = None
    answered: bool = True


@dataclass(frozen=True, slots=True)
class CancelCall:
    """Nobody waits for this call any more."""

    call_id: str
    saga_id: str
    target: str


@dataclass(frozen=True, slots=True)
class Outcome:
    """How a call ended. `refused` means that it was never started.

    `member` ran it, as its `runs`-th run; `partition` is the worker's.
    """

    call_id: str
    saga_id: str
    step_id: str
    kind: CallKind
    target: str
    attempt: int
    status: OutcomeStatus
    result: Json = None
    failure: Failure | None = None
    member: str = ""
    partition: int = -1
    runs: int = 0
    duration_ms: int = 0
    usage: Usage | None = None


@dataclass(frozen=True, slots=True)
class RegisterAgent:
    """A worker hosts an agent, in `partitions` partitions of `concurrency` calls each."""

    agent: str
    team: str
    partitions: int
    concurrency: int
    steps: tuple[str, ...]
    limits: tuple[Limit, ...] = ()


# -- election ---------------------------------------------------------------------------------


ELECTION_PROTOCOL = 1
"""What a `Join` of this version means. A member of another one is refused, and says so."""

Policy = Literal["sticky", "priority", "preferred"]


@dataclass(frozen=True, slots=True)
class Join:
    """A member, one incarnation of a process on `node`, takes part in a team.

    `labels` and `version` (numbers and dots) are what a team's rules ask of a leader. `clock_at` is
    the member's wall clock as it sends, 0 if it does not tell. It counts as a beat, see there.
    """

    team: str
    member: str
    node: str
    session_ttl_ms: int
    priority: int = 0
    agents: tuple[str, ...] = ()
    labels: dict[str, str] = field(default_factory=dict)
    version: str = ""
    clock_at: int = 0
    beat: int = 0
    protocol: int = ELECTION_PROTOCOL


@dataclass(frozen=True, slots=True)
class BeatSession:
    """A member lives. One beat serves all its teams of this shard.

    `beat` is the member's own count. The log repeats it when it records that the session was
    renewed, so the member knows from when on it may count.
    """

    member: str
    beat: int = 0


@dataclass(frozen=True, slots=True)
class Leave:
    """A member goes: from one team if given, else from all its teams of this shard."""

    member: str
    team: str = ""


@dataclass(frozen=True, slots=True)
class ResignLeadership:
    """A team's leader hands over, to a member if given. An old epoch changes nothing."""

    team: str
    member: str
    epoch: int
    to: str | None = None


@dataclass(frozen=True, slots=True)
class ConfigureTeam:
    """Whom a team wants as its leader. Replaces all that was said of it before.

    Only members with all `labels` and at least `version_min` are candidates. Among candidates
    `policy` chooses: `sticky` keeps who leads, `priority` wants the highest priority, `preferred`
    the node that stands first in `preferred`. A leader is asked to hand over to a candidate that
    is wanted more, but not before it has led for `tenure_ms_min`.
    """

    team: str
    policy: Policy = "sticky"
    preferred: tuple[str, ...] = ()
    labels: dict[str, str] = field(default_factory=dict)
    version_min: str = ""
    tenure_ms_min: int = 10_000
    actor: str = ""


@dataclass(frozen=True, slots=True)
class Leader:
    """State of a team on the compacted topic `folkmoot.leaders`, keyed by team.

    `epoch` is the offset of the election's decision: it never repeats and never regresses.
    `revision` is the offset of the decision that made this record: of two records of a team the
    one with the greater revision is the newer, whichever was read last. `successor` is whom the
    leader is asked to hand over to; `hosts` says which members host an agent.
    """

    team: str
    leader: str | None
    epoch: int
    members: tuple[str, ...]
    since: int
    reason: str
    partition: int = 0
    revision: int = 0
    successor: str | None = None
    hosts: dict[str, tuple[str, ...]] = field(default_factory=dict)


# -- event store ------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class NewEvent:
    """An event that a user wants in a stream."""

    type: str
    data: Json
    event_id: str = ""


@dataclass(frozen=True, slots=True)
class Append:
    """Append to `stream` provided that its version is `expected_version`.

    A version counts the events of a stream; -1 expects nothing in particular. `request_id` makes
    a repetition harmless. No events make it a check of the version.
    """

    stream: str
    events: tuple[NewEvent, ...]
    request_id: str
    expected_version: int = -1


# -- announcements, over gossip ---------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Announce:
    """Request to whoever leads: publish `message` on `subject`; it may be lost."""

    subject: str
    message: object
