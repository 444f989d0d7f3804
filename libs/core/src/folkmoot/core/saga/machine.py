"""The orchestrator's machine: tasks become sagas, which are finished or undone.

Invariants:

- A saga ends in exactly one terminal state, and its result is sent once for each time it is asked.
- A step is compensated only when no forward call of the saga is under way, and after every
  scheduled step that depends on it; every scheduled compensable step is compensated once.
- Only the answer to the current call of a step changes anything.
- Nothing waits for ever without a timer, except for a compensation that keeps failing, and that is
  shown as stuck.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from typing import Any

from folkmoot.core.children import (
    CancelChild,
    PauseChild,
    ReleaseChild,
    ResumeChild,
    StartChild,
    UndoChild,
)
from folkmoot.core.forks import NO_FORK
from folkmoot.core.kernel import Effect, Led, Position, Refused, Tick
from folkmoot.core.messages import (
    Answer,
    Call,
    CallProgress,
    CancelCall,
    Failure,
    Outcome,
    Question,
    Task,
    TaskResult,
    TeamFormed,
)
from folkmoot.core.names import by_wire_name
from folkmoot.core.saga import (
    admission,
    backward,
    budgets,
    children,
    controlling,
    forking,
    forward,
    questions,
)
from folkmoot.core.saga.control_events import SagaAdmitted, SagaQueued
from folkmoot.core.saga.events import (
    EVENTS,
    CallAbandoned,
    GraceGiven,
    OutcomeIgnored,
    SagaOpened,
    TaskRefused,
    TaskRejoined,
    TeamKnown,
    WallTimePassed,
)
from folkmoot.core.saga.folding import Folding
from folkmoot.core.saga.plan import check_pinned, parse_plan
from folkmoot.core.saga.settings import SagaSettings
from folkmoot.core.saga.shape import InvalidPlan
from folkmoot.core.saga.state import Saga, SagaState, Step
from folkmoot.core.saga.waiting import TIMED_OUT

CHILD_INPUTS = (StartChild, UndoChild, CancelChild, PauseChild, ResumeChild, ReleaseChild)
INPUTS = by_wire_name(
    Task, Outcome, CallProgress, Question, TeamFormed, *controlling.KINDS, *CHILD_INPUTS
)
OUTPUTS = by_wire_name(Call, CancelCall, TaskResult, Answer, Outcome, *CHILD_INPUTS)
TEAMS_NAMED_MAX = 10
TEAM_CHARS_SHOWN = 100
TENANT_CHARS_MAX = 100
FOREIGN_ID_CHARS_MAX = 600
"""Of the ids of an answer that nobody waits for: our own are shorter, others are recorded too."""

Events = Sequence[object]


class SagaMachine:
    """The machine of one partition of sagas."""

    name = "saga-orchestrator"
    inputs: Mapping[str, type] = INPUTS
    events: Mapping[str, type] = EVENTS
    outputs: Mapping[str, type] = OUTPUTS

    def __init__(self, settings: SagaSettings, partition: int) -> None:
        self._settings = settings
        self._folding = Folding(partition)
        control: Callable[[SagaState, Any, int], Events] = self._decide_control
        self._deciders: dict[type, Callable[[SagaState, Any, int], Events]] = {
            **dict.fromkeys(controlling.KINDS, control),
            Task: self._decide_task,
            Outcome: self._decide_outcome,
            CallProgress: self._decide_progress,
            Question: self._decide_question,
            TeamFormed: self._decide_team,
            StartChild: self._decide_start,
            UndoChild: self._decide_undo,
            CancelChild: self._decide_cancel,
            PauseChild: lambda state, pause, _now: children.paused(state, pause),
            ResumeChild: self._decide_resumption,
            ReleaseChild: self._decide_release,
            Tick: self._decide_tick,
            Led: self._decide_led,
        }

    def initial(self) -> SagaState:
        """Return a shard without sagas."""
        return SagaState()

    def due(self, state: SagaState) -> int | None:
        """Return when the next step times out or is tried again, the past if one can begin."""
        if state.backlog or admission.is_due(state, self._settings):
            return 0
        earliest = state.timers.earliest()
        return None if earliest is None else max(earliest, state.grace_until)

    def apply(self, state: SagaState, event: object, position: Position) -> Sequence[Effect]:
        """Fold `event` into `state`; see `folkmoot.core.kernel.Machine`."""
        return self._folding.apply(state, event, position)

    def decide(self, state: SagaState, message: object, now: int) -> Events:
        """Return what `message` brings about; see `folkmoot.core.kernel.Machine`."""
        decider = self._deciders.get(type(message))
        if decider is None:
            raise Refused("unknown-message", f"sagas take no {type(message).__name__}")
        return decider(state, message, now)

    # -- tasks ------------------------------------------------------------------------------

    def _decide_task(self, state: SagaState, task: Task, now: int) -> Events:
        if task.saga_id in state.sagas:
            return ()
        if task.saga_id in state.ended:
            return (TaskRejoined(task.saga_id),)
        waits = admission.must_wait(state, task.team, self._settings)
        problem = self._problem(state, task.team) or _unfit(task)
        if waits:
            problem = problem or admission.no_room(state, self._settings)
        if problem is not None:
            return (TaskRefused(task.saga_id, task.team, problem),)
        fork = task.fork or NO_FORK
        opened = SagaOpened(
            task.saga_id,
            task.team,
            task.input,
            task.traceparent,
            task.budget,
            task.definition,
            task.plan_hash,
            share=task.share,
            forked_from=fork.saga_id,
            forked_at=fork.at,
        )
        if task.plan is not None:
            return self._planned_already(task, opened, now, waits=waits)
        if waits:
            return (opened, SagaQueued(task.saga_id))
        return (opened, forward.first_call(task.saga_id, task.team, now, self._settings))

    def _planned_already(self, task: Task, opened: SagaOpened, now: int, *, waits: bool) -> Events:
        """Return how a task that brings its plan begins."""
        try:
            plan = parse_plan(task.plan, self._settings)
            check_pinned(plan, task.plan_hash)
            carried = [] if task.fork is None else [forking.carried(task.saga_id, plan, task.fork)]
        except InvalidPlan as problem:
            return (TaskRefused(task.saga_id, task.team, forward.unfit(problem)),)
        if waits:
            recorded = forward.recorded_of(task.saga_id, plan)
            return (opened, SagaQueued(task.saga_id), recorded, *carried)
        if carried:
            begun = forking.begin(task.team, plan, carried[0], now, self._settings)
        else:
            begun = forward.begin(task.saga_id, task.team, plan, now, self._settings)
        return (opened, *begun)

    def _problem(self, state: SagaState, team: str) -> Failure | None:
        if team not in state.teams:
            known = ", ".join(sorted(state.teams)[:TEAMS_NAMED_MAX]) or "none yet"
            name = repr(team)[:TEAM_CHARS_SHOWN]
            return Failure(
                "unknown-team",
                f"no member of a team {name} has ever joined (known: {known}): start one "
                "with `folkmoot worker MODULE:APP`, then submit the task again under another id",
                retryable=False,
            )
        if len(state.sagas) >= self._settings.open_sagas_max:
            what = f"{len(state.sagas):,} sagas are open here"
            return admission.overloaded(what, "open_sagas_max", self._settings)
        return None

    # -- children ---------------------------------------------------------------------------

    def _decide_start(self, state: SagaState, start: StartChild, now: int) -> Events:
        problem = self._problem(state, start.team)
        return children.started(state, start, problem, now, self._settings)

    def _decide_undo(self, state: SagaState, undo: UndoChild, now: int) -> Events:
        return children.undone(state, undo, now, self._settings)

    def _decide_cancel(self, state: SagaState, cancel: CancelChild, now: int) -> Events:
        return children.cancelled(state, cancel, now, self._settings)

    def _decide_resumption(self, state: SagaState, resume: ResumeChild, now: int) -> Events:
        return children.resumed(state, resume, now, self._settings)

    def _decide_release(self, state: SagaState, release: ReleaseChild, now: int) -> Events:
        return children.released(state, release, now, self._settings)

    # -- teams ------------------------------------------------------------------------------

    def _decide_team(self, state: SagaState, formed: TeamFormed, _now: int) -> Events:
        return () if formed.team in state.teams else (TeamKnown(formed.team),)

    # -- answers ----------------------------------------------------------------------------

    def _decide_outcome(self, state: SagaState, outcome: Outcome, now: int) -> Events:
        saga = state.sagas.get(outcome.saga_id)
        step = None if saga is None else saga.find(outcome.step_id)
        if saga is None or step is None or not step.called or step.call_id != outcome.call_id:
            spent = [] if saga is None else budgets.spending(saga, outcome)
            return (_ignored(outcome), *spent)
        if step.phase == "compensating":
            undone = backward.undo_answered(saga, step, outcome, now, self._settings)
            return budgets.spending(saga, outcome) + undone
        return budgets.spending(saga, outcome) + self._answered(saga, step, outcome, now)

    def _answered(self, saga: Saga, step: Step, outcome: Outcome, now: int) -> list[object]:
        failure = budgets.exceeded(saga, outcome.usage)
        if failure is not None:
            stopped = forward.stopped(saga, step, outcome, failure, now, self._settings)
            if stopped is not None:
                return stopped
        return forward.answered(saga, step, outcome, now, self._settings)

    def _decide_control(self, state: SagaState, request: object, now: int) -> Events:
        return controlling.decide_control(state, request, now, self._settings)

    def _decide_progress(self, state: SagaState, progress: CallProgress, now: int) -> Events:
        saga = state.sagas.get(progress.saga_id)
        step = None if saga is None else saga.find(progress.step_id)
        if saga is None or step is None or step.call_id != progress.call_id:
            return ()
        return (
            forward.progressed(saga, step, now, self._settings) if step.phase == "running" else ()
        )

    def _decide_question(self, state: SagaState, question: Question, now: int) -> Events:
        saga = state.sagas.get(question.saga_id)
        step = None if saga is None else saga.find(question.step_id)
        if saga is None or step is None or not step.called or step.call_id != question.call_id:
            return ()
        return questions.asked(saga, step, question, now, self._settings)

    # -- time -------------------------------------------------------------------------------

    def _decide_led(self, state: SagaState, _led: Led, now: int) -> Events:
        earliest = state.timers.earliest()
        until = now + self._settings.takeover_grace_ms
        if earliest is None or earliest > until:
            return ()
        return (GraceGiven(until, self._settings.takeover_at_once),)

    def _decide_tick(self, state: SagaState, _tick: Tick, now: int) -> Events:
        """Decide one thing for a saga at a time: what one step does must not surprise another.

        What this entry has no room for is still due, and has the next `Tick`.
        """
        events: list[object] = []
        touched: set[str] = set()
        for saga_id, step_id in self._due(state, now):
            if len(events) >= self._settings.wave_max:
                break
            if saga_id not in touched:
                touched.add(saga_id)
                saga = state.sagas[saga_id]
                events += (
                    self._go_on(saga, now) if step_id is None else self._timer(saga, step_id, now)
                )
        most = max(1, (self._settings.wave_max - len(events)) // 2)
        return events + self._let_in(state, touched, most, now) + self._paced(state, now)

    def _let_in(
        self, state: SagaState, touched: Collection[str], most: int, now: int
    ) -> list[object]:
        """Return how up to `most` sagas begin that waited for a place."""
        events: list[object] = []
        for saga_id in admission.next_in(state, self._settings, most):
            if saga_id not in touched:
                saga = state.sagas[saga_id]
                events.append(SagaAdmitted(saga_id))
                events += [] if saga.paused else forward.taken_up(saga, now, self._settings)
        return events

    def _at_once(self, state: SagaState, now: int) -> int:
        """Return how many deadlines may take effect now: few at first after a change of leader."""
        ramping = state.at_once and now < state.grace_until + self._settings.takeover_ramp_ms
        return min(state.at_once, self._settings.wave_max) if ramping else self._settings.wave_max

    def _paced(self, state: SagaState, now: int) -> list[object]:
        """Return when the next deadlines take effect, and how many, if not all may now."""
        at_once = self._at_once(state, now)
        if at_once == self._settings.wave_max or now < state.grace_until:
            return []
        if len(state.timers.due(now, at_once + 1)) <= at_once:
            return []
        return [GraceGiven(now + self._settings.takeover_pace_ms, 2 * at_once)]

    def _due(self, state: SagaState, now: int) -> Iterator[tuple[str, str | None]]:
        """Yield the saga and step of each timer that is due; no step where some are ready."""
        for saga_id in state.backlog:
            yield saga_id, None
        if now >= state.grace_until:
            for key in state.timers.due(now, self._at_once(state, now)):
                saga_id, _, step_id = key.rpartition("/")
                yield saga_id, step_id

    def _go_on(self, saga: Saga, now: int) -> Events:
        going_on = backward.go_on_undoing if saga.undoing else forward.go_on
        return going_on(saga, now, self._settings)

    def _time_is_over(self, saga: Saga, now: int) -> Events:
        events: list[object] = [WallTimePassed(saga.saga_id)]
        if saga.phase not in ("planning", "running") or not forward.may_return(saga):
            return events
        over = budgets.time_over(saga)
        return events + forward.turn_back(saga, over, now, self._settings)

    def _timer(self, saga: Saga, step_id: str, now: int) -> Events:
        if step_id == budgets.WALL_TIME:
            return self._time_is_over(saga, now)
        step = saga.find(step_id)
        assert step is not None, f"timer of unknown step {step_id}"
        if expired := questions.expired(saga, step, now, self._settings):
            return expired
        match step.phase:
            case "running":
                return forward.timed_out(saga, step, now, self._settings)
            case "compensating":
                failure = Failure(TIMED_OUT, "no answer came before its deadline")
                abandoned = CallAbandoned(saga.saga_id, step_id, step.call_id)
                retry = backward.undo_failed(saga, step, failure, now, self._settings)
                return [abandoned, *retry]
            case "retrying" | "deferred":
                return forward.reschedule(saga, step, now, self._settings)
            case _:
                succeeded = step.succeeded
                return [
                    backward.schedule_undo(saga, step, now, self._settings, succeeded=succeeded)
                ]


def _unfit(task: Task) -> Failure | None:
    if task.share is not None and (length := len(task.share.tenant)) > TENANT_CHARS_MAX:
        detail = f"the tenant has {length:,} characters, the limit is {TENANT_CHARS_MAX}"
        return Failure("invalid-tenant", detail, retryable=False)
    if task.plan is None and task.fork is not None and task.fork.results:
        detail = "a fork with results must bring the plan whose steps they are of"
        return Failure("invalid-plan", detail, retryable=False)
    return None


def _ignored(outcome: Outcome) -> OutcomeIgnored:
    saga_id, step_id, call_id = (
        each[:FOREIGN_ID_CHARS_MAX] for each in (outcome.saga_id, outcome.step_id, outcome.call_id)
    )
    return OutcomeIgnored(saga_id, step_id, call_id, outcome.status)
