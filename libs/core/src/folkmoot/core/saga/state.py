"""The state of the orchestrator's shard: the sagas that are open, and those that ended lately."""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass, field
from typing import Literal

from folkmoot.core.deadlines import Deadlines
from folkmoot.core.messages import Address, Budget, Failure, Json, TaskResult, Usage
from folkmoot.core.saga.answers import ControlAnswer
from folkmoot.core.saga.child_events import Parent
from folkmoot.core.saga.events import ForwardKind
from folkmoot.core.saga.index import SagaIndex
from folkmoot.core.saga.plan_events import PlannedStep, ResultOf
from folkmoot.core.shares import Share
from folkmoot.core.turns import Turns

ENDED_REMEMBERED_MAX = 20_000
"""Ended sagas whose result a repeated task is told: the window of idempotency of one shard."""

ENDED_DESCRIBED_MAX = 1_000
"""Ended sagas that are still shown step by step; the event store has all of them."""

STEPS_DESCRIBED_MAX = 200
"""Steps shown of an ended saga, so that a thousand large ones fit into memory."""

NOT_UNDONE_NAMED_MAX = 100
"""Skipped compensations that a saga's result names."""

TRIED_KEPT_MAX = 100
"""Attempts without success that an open saga remembers, for its trace; the log has all of them."""

CONTROLS_REMEMBERED_MAX = 5_000
"""Answers to requests that can be asked for; whoever asked did so moments ago."""

NO_BUDGET = Budget()
NOTHING_SPENT = Usage()

Phase = Literal["planning", "running", "aggregating", "compensating", "held"]
StepPhase = Literal[
    "waiting",
    "running",
    "retrying",
    "deferred",
    "succeeded",
    "failed",
    "compensating",
    "compensation-retrying",
    "compensated",
    "passed-over",
    "skipped",
    "omitted",
    "joining",
    "compensation-skipped",
]
FORWARD_CALLED: frozenset[StepPhase] = frozenset({"running"})


@dataclass(frozen=True, slots=True)
class Open:
    """A question that waits for its answer."""

    call_id: str
    key: str
    prompt: str
    schema: Json
    signal: str
    deadline_at: int
    answer_to: Address


@dataclass(frozen=True, slots=True)
class Reply:
    """How a question was closed; another attempt that asks it is told the same."""

    answered: bool
    value: Json
    actor: str


@dataclass(frozen=True, slots=True)
class Tried:
    """An attempt that did not succeed, as `failure` says, and was followed by another."""

    step_id: str
    call_id: str
    attempt: int
    called_at: int
    ended_at: int
    failure: str


@dataclass(slots=True)
class Step:
    """One step, or one of the leader's hooks, of an open saga.

    `parts` are the steps into which it was expanded, of which it is the `whole`; `passed` says that
    it was expanded or omitted. `unmet` counts needs without a result; `blockers`, while undoing,
    dependants not yet undone. `begun` says that an earlier attempt may have had an effect,
    `in_doubt` that the last one that was let in may even have succeeded; `deferrals` counts the
    refusals of the present one, `started` says that a worker has begun it, and `asked_from` where
    that is if it has asked anything. `child_id` is the saga that the last attempt runs, if one.
    `called_at` is when the last call was made, `ended_at` when the last forward call ended, and
    `undoes`, once it is being undone, which call that was.
    """

    plan: PlannedStep
    kind: ForwardKind
    dependants: list[str] = field(default_factory=list)
    parts: list[str] = field(default_factory=list)
    whole: str | None = None
    phase: StepPhase = "waiting"
    passed: bool = False
    active: bool = False
    attempt: int = 0
    call_id: str = ""
    deadline_at: int = 0
    result: Json = None
    succeeded: bool = False
    begun: bool = False
    unmet: int = 0
    blockers: int = 0
    undo_attempt: int = 0
    stuck: bool = False
    deferrals: int = 0
    deferred_since: int | None = None
    began_at: int | None = None
    started: bool = False
    in_doubt: bool = False
    questions: dict[str, Open] = field(default_factory=dict)
    asked_from: Address | None = None
    failure: Failure | None = None
    child_id: str = ""
    called_at: int = 0
    ended_at: int = 0
    undoes: str = ""

    @property
    def scheduled(self) -> bool:
        """Whether undoing must reach it: it may have had an effect, or stands before what may."""
        return self.attempt > 0 or self.passed

    @property
    def special(self) -> bool:
        """Whether more is to be decided about it than when to begin."""
        return self.phase == "joining" or bool(self.plan.when or self.plan.each)

    @property
    def called(self) -> bool:
        """Whether an answer is awaited."""
        return self.phase in ("running", "compensating")


@dataclass(slots=True)
class Saga:
    """An open saga. `calls` counts the forward calls under way, `left` the steps not done.

    `ready` are the steps that nothing holds back from being begun or, while undoing, undone, and
    `unsettled` those that may have to be omitted, expanded or joined instead. `active` counts the
    steps begun and not ended, of which there may be `max_parallel`, if not 0.
    `committed` says that its `pivot` has succeeded: there is no way back any more.
    `asking` has the step of each open question, `replies` what was answered, and `signals` those
    that nothing has waited for yet, each with who sent it.
    `pinned` is the hash of the only plan that may be run, if any.
    `hops` counts the attempts begun, `spent` what calls have used up of the `budget`.
    `parent` says whose step it is, if anybody's: then it is held from `held_at` on with the
    result `held`, until it is `released`, and the parent was `told` of so much that it spent.
    `frozen`, while it is paused, is what was left on the timer of each step that has one; it is
    `paused_itself`, `paused_with_parent`, or both. While it is `queued` nothing of it
    begins, since there is no place for it yet.
    `tried` are the first attempts that did not succeed.
    `forked_from` is the saga that it is a fork of, if one, as that was after `forked_at` events.
    """

    saga_id: str
    team: str
    input: Json
    traceparent: str | None
    opened_at: int
    hooks: dict[str, Step]
    steps: dict[str, Step] = field(default_factory=dict)
    phase: Phase = "planning"
    plan_hash: str = ""
    definition: str = ""
    pinned: str = ""
    calls: int = 0
    left: int = 0
    ready: dict[str, None] = field(default_factory=dict)
    unsettled: dict[str, None] = field(default_factory=dict)
    max_parallel: int = 0
    result: ResultOf = "aggregate"
    active: int = 0
    undo_left: int = 0
    undoing: bool = False
    pivot: str | None = None
    committed: bool = False
    stuck_steps: int = 0
    compensations: list[str] = field(default_factory=list)
    not_undone: list[str] = field(default_factory=list)
    failure: Failure | None = None
    failed_step: str | None = None
    budget: Budget = NO_BUDGET
    spent: Usage = NOTHING_SPENT
    hops: int = 0
    wall_time_passed: bool = False
    paused_at: int | None = None
    paused_by: str = ""
    frozen: dict[str, int] = field(default_factory=dict)
    paused_itself: bool = False
    paused_with_parent: bool = False
    queued: bool = False
    share: Share | None = None
    forked_from: str = ""
    forked_at: int = 0
    parent: Parent | None = None
    released: bool = False
    held_at: int = 0
    held: Json = None
    told: Usage = NOTHING_SPENT
    asking: dict[str, str] = field(default_factory=dict)
    replies: dict[str, Reply] = field(default_factory=dict)
    signals: dict[str, list[tuple[Json, str]]] = field(default_factory=dict)
    tried: list[Tried] = field(default_factory=list)

    def find(self, step_id: str) -> Step | None:
        """Return a step or hook by its id."""
        return self.steps.get(step_id) or self.hooks.get(step_id)

    def note_try(self, step: Step, failure: str) -> None:
        """Remember the attempt of a step that has just ended without success."""
        if len(self.tried) < TRIED_KEPT_MAX:
            place, times = (step.plan.id, step.call_id), (step.called_at, step.ended_at)
            self.tried.append(Tried(*place, step.attempt, *times, failure))

    @property
    def room(self) -> int | None:
        """How many more steps may begin now, None for any number."""
        return max(0, self.max_parallel - self.active) if self.max_parallel else None

    @property
    def paused(self) -> bool:
        """Whether nothing of it may begin now."""
        return self.paused_at is not None

    @property
    def stuck(self) -> bool:
        """Whether one of its steps, or undoing it, fails again and again."""
        return self.stuck_steps > 0

    @property
    def shown_state(self) -> str:
        """The phase, or that it is paused, queued or stuck, which matters more."""
        if self.paused:
            return "paused"
        if self.queued:
            return "queued"
        return "stuck" if self.stuck else self.phase


@dataclass(slots=True)
class Ended:
    """An ended saga. `shown` is its description, or None when it has been forgotten."""

    result: TaskResult
    opened_at: int
    ended_at: int
    shown: dict[str, Json] | None


@dataclass(slots=True)
class Lobby:
    """The sagas for which there is no place yet, by team, and how many have `begun`.

    `queued` counts those that wait, `teams` of each team those that have begun and not ended.
    """

    begun: int = 0
    queued: int = 0
    teams: dict[str, int] = field(default_factory=dict)
    waiting: dict[str, Turns] = field(default_factory=dict)


@dataclass(slots=True)
class SagaState:
    """The whole shard. `timers` has one key, `SAGA/STEP`, for each step that waits for a time.

    `backlog` are the sagas with steps that are ready: more than one entry had room for.
    `stuck` are the sagas that somebody should look at, `controls` the answers to requests that may
    be asked for again. No deadline takes effect before `grace_until`, and then no more than
    `at_once`, if that is not 0. The `lobby` has the sagas that wait to begin.
    """

    teams: dict[str, None] = field(default_factory=dict)
    sagas: dict[str, Saga] = field(default_factory=dict)
    ended: OrderedDict[str, Ended] = field(default_factory=OrderedDict)
    described: OrderedDict[str, None] = field(default_factory=OrderedDict)
    timers: Deadlines = field(default_factory=Deadlines)
    backlog: dict[str, None] = field(default_factory=dict)
    stuck: dict[str, None] = field(default_factory=dict)
    grace_until: int = 0
    at_once: int = 0
    controls: OrderedDict[str, ControlAnswer] = field(default_factory=OrderedDict)
    lobby: Lobby = field(default_factory=Lobby)
    index: SagaIndex = field(init=False, repr=False, compare=False, default_factory=SagaIndex)

    def forget_oldest(self) -> None:
        """Keep no more of the sagas that have ended than the shard has room for."""
        self.index.bound()
        while len(self.ended) > ENDED_REMEMBERED_MAX:
            forgotten, _ = self.ended.popitem(last=False)
            self.described.pop(forgotten, None)
            self.index.touched[forgotten] = None
        while len(self.described) > ENDED_DESCRIBED_MAX:
            oldest, _ = self.described.popitem(last=False)
            self.ended[oldest].shown = None
