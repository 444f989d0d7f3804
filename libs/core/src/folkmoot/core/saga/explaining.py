"""Says in a sentence why a saga is where it is, from its shard's state and nothing else.

Of a saga with many steps it is the step that tells most: what is stuck before what fails, what
fails before what asks, that before what works, and that before what only waits.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from folkmoot.core.saga.state import Ended, Saga, SagaState, Step

SECOND_MS, MINUTE_MS, HOUR_MS, DAY_MS = 1_000, 60_000, 3_600_000, 86_400_000
DETAIL_CHARS_MAX = 200
NEEDS_NAMED_MAX = 5

TELLING = (
    "compensation-retrying",
    "retrying",
    "deferred",
    "compensating",
    "running",
    "joining",
    "waiting",
)
"""Phases of a step in which it holds its saga up, the most telling first."""


WORKING = frozenset({"running", "compensating", "joining", "waiting"})
"""Phases in which nothing is wrong."""


def explain(state: SagaState, saga_id: str, now: int) -> str | None:
    """Return why a saga is where it is, None if the shard does not know it (any more)."""
    saga = state.sagas.get(saga_id)
    if saga is not None:
        return _open(state, saga, now)
    ended = state.ended.get(saga_id)
    return None if ended is None else _ended(ended)


def call_of(state: SagaState, saga_id: str) -> dict[str, str] | None:
    """Return the call that holds a saga up most visibly, None if none does: `agent`, `call_id`.

    Whether a worker has it only the breaker of that agent knows.
    """
    saga = state.sagas.get(saga_id)
    step = None if saga is None or saga.paused or saga.queued else most_telling(saga)
    if step is None or not step.called or step.plan.child or step.questions:
        return None
    return {"agent": step.plan.agent, "call_id": step.call_id}


def explain_call(found: Mapping[str, Any] | None) -> str:
    """Return what the breaker's answer about that call adds to the sentence: if it waits there."""
    if found is None or found["state"] != "queued":
        return ""
    return f" No worker has it yet: it waits for {found['waiting_for']}."


def _ended(ended: Ended) -> str:
    result = ended.result
    why = "" if result.failure is None else f": {_cut(result.failure.detail)}"
    step = f"step {result.failed_step} failed" if result.failed_step else "it was turned back"
    match result.state:
        case "completed":
            return f"It completed {_span(ended.ended_at - ended.opened_at)} after it was opened."
        case "compensated":
            left = ", ".join(result.not_undone)
            rest = f" Not undone: {left}." if left else ""
            return f"All that was begun is undone, because {step}{why}.{rest}"
        case "terminated":
            return f"An operator ended it, and nothing was undone{why}."
        case _:
            return f"It failed before any step was begun{why}."


def _open(state: SagaState, saga: Saga, now: int) -> str:
    if saga.paused:
        whose = (
            f" with saga {saga.parent.saga_id}" if saga.paused_with_parent and saga.parent else ""
        )
        return (
            f"It is paused{whose} by {saga.paused_by} for {_span(now - (saga.paused_at or now))}: "
            f"nothing of it begins and its clocks stand still, {_under_way(saga)}."
        )
    if saga.queued:
        return _queued(state, saga)
    if saga.phase == "compensating":
        return f"It turns back{_reason(saga)}. {_backward(state, saga, now)}"
    if saga.phase == "planning":
        return _hook(state, saga, "plan", now)
    if saga.phase == "aggregating":
        return _hook(state, saga, "aggregate", now)
    if saga.phase == "held" and saga.parent is not None:
        whose = f"step {saga.parent.step_id} of saga {saga.parent.saga_id}"
        return f"It is done, and may be undone until that ends whose part it is: {whose}."
    step = most_telling(saga)
    if step is None:
        return "All its steps have ended, and its result is about to be made."
    others = sum(s.phase not in ("waiting", *ENDED) for s in saga.steps.values() if s is not step)
    rest = f"; {_counted(others, 'other step')} under way" if others else ""
    return f"{explain_step(state, saga, step, now)}{rest}."


def _queued(state: SagaState, saga: Saga) -> str:
    lobby, team = state.lobby, saga.team
    places = f"{_counted(lobby.begun, 'saga')} at work here, {lobby.teams.get(team, 0)} of its team"
    ahead = lobby.waiting[team].ahead_of(saga.saga_id)
    return f"It waits for a place: {places}; {ahead} of its team have their turn before it."


def _hook(state: SagaState, saga: Saga, name: str, now: int) -> str:
    hook = saga.hooks.get(name)
    if hook is None:
        return f"The leader of team {saga.team} is about to be asked."
    return f"{explain_step(state, saga, hook, now)}."


def _backward(state: SagaState, saga: Saga, now: int) -> str:
    if not saga.undoing:
        return f"Before anything is undone, what is under way must end: {_under_way(saga)}."
    step = most_telling(saga)
    if step is None:
        return "Undoing is about to go on."
    left = _counted(saga.undo_left, "step")
    return f"{explain_step(state, saga, step, now)}; {left} left to undo."


def _reason(saga: Saga) -> str:
    step = f"step {saga.failed_step} failed: " if saga.failed_step else ""
    detail = "" if saga.failure is None else _cut(saga.failure.detail)
    return f" because {step}{detail}" if step or detail else ""


def _under_way(saga: Saga) -> str:
    return f"{_counted(saga.calls, 'call')} under way"


def _counted(count: int, what: str) -> str:
    return f"1 {what} is" if count == 1 else f"{count} {what}s are"


def most_telling(saga: Saga) -> Step | None:
    """Return the step that holds a saga up most visibly, None if none does."""
    steps = [step for step in saga.steps.values() if step.phase in TELLING]
    return min(steps, key=_rank, default=None)


def _rank(step: Step) -> tuple[bool, bool, int]:
    works = step.phase in WORKING and not step.questions
    return not step.stuck, works, TELLING.index(step.phase)


# -- steps ----------------------------------------------------------------------------------


def explain_step(state: SagaState, saga: Saga, step: Step, now: int) -> str:
    """Return the same of one step, or of a leader's hook, as a clause."""
    return _STEPS[step.phase](_Situation(state, saga, step, now))


class _Situation:
    """What is to be known of one step to explain it."""

    def __init__(self, state: SagaState, saga: Saga, step: Step, now: int) -> None:
        self.saga, self.step, self.now = saga, step, now
        self._due_at = state.timers.get(f"{saga.saga_id}/{step.plan.id}")

    @property
    def name(self) -> str:
        """What the step is called."""
        return f"Step {self.step.plan.id}"

    @property
    def subject(self) -> str:
        """What is done: a step, or a leader's hook."""
        if self.step.kind == "step":
            return self.name
        hook = "plan" if self.step.kind == "plan" else "result"
        return f"The {hook} of team {self.saga.team}"

    @property
    def left(self) -> str:
        """How long it is to what it waits for."""
        return "" if self._due_at is None else f" in {_span(max(0, self._due_at - self.now))}"

    @property
    def why(self) -> str:
        """What went wrong last."""
        failure = self.step.failure
        return "" if failure is None else f": {_cut(failure.detail)}"

    @property
    def stuck(self) -> str:
        """Whether somebody should look."""
        return "is stuck and " if self.step.stuck else ""


def _waiting(of: _Situation) -> str:
    saga, step = of.saga, of.step
    unmet = [need for need in step.plan.needs if saga.steps[need].phase not in ENDED]
    if unmet:
        more = f" and {len(unmet) - NEEDS_NAMED_MAX} more" if len(unmet) > NEEDS_NAMED_MAX else ""
        return f"{of.name} waits for {', '.join(unmet[:NEEDS_NAMED_MAX])}{more}"
    if saga.room == 0:
        return f"{of.name} waits for room: no more than {saga.max_parallel} run at a time"
    return f"{of.name} is about to begin"


def _running(of: _Situation) -> str:
    for question in of.step.questions.values():
        until = _span(max(0, question.deadline_at - of.now))
        if question.signal:
            return f"{of.name} waits for signal {question.signal}, for {until} at most"
        return f'{of.name} asks somebody, for {until} at most: "{_cut(question.prompt)}"'
    if of.step.plan.child:
        return f"{of.name} runs as saga {of.step.child_id}"
    attempt, agent = of.step.attempt, of.step.plan.agent
    return f"{of.subject} is with {agent}, attempt {attempt}, which is given up{of.left}"


def _retrying(of: _Situation) -> str:
    return (
        f"{of.subject} {of.stuck}is tried again{of.left}, attempt {of.step.attempt} failed{of.why}"
    )


def _deferred(of: _Situation) -> str:
    return f"{of.subject} was not let in to {of.step.plan.agent} and asks again{of.left}{of.why}"


def _compensating(of: _Situation) -> str:
    if of.step.plan.child:
        return f"{of.name} {of.stuck}is being undone, as saga {of.step.child_id}"
    return f"{of.name} {of.stuck}is being undone, attempt {of.step.undo_attempt}"


def _undo_retrying(of: _Situation) -> str:
    tried = of.step.undo_attempt
    return f"{of.name} {of.stuck}is to be undone again{of.left}, attempt {tried} failed{of.why}"


def _joining(of: _Situation) -> str:
    parts = [of.saga.steps[part] for part in of.step.parts]
    left = sum(part.phase not in ENDED for part in parts)
    return f"{of.name} waits for {left} of its {len(parts)} parts"


def _over(said: str) -> Callable[[_Situation], str]:
    return lambda of: f"{of.subject} {said}{of.why if 'failed' in said else ''}"


_STEPS: Mapping[str, Callable[[_Situation], str]] = {
    "waiting": _waiting,
    "running": _running,
    "retrying": _retrying,
    "deferred": _deferred,
    "joining": _joining,
    "compensating": _compensating,
    "compensation-retrying": _undo_retrying,
    "succeeded": _over("has succeeded"),
    "failed": _over("has failed"),
    "compensated": _over("is undone"),
    "passed-over": _over("has nothing to undo"),
    "skipped": _over("was skipped by an operator"),
    "omitted": _over("was left out, because its condition does not hold"),
    "compensation-skipped": _over("was left as it is by an operator"),
}

ENDED = frozenset({"succeeded", "skipped", "omitted", "failed", "compensated", "passed-over",
                   "compensation-skipped"})  # fmt: skip
"""Phases of a step of which nothing more is expected, as things stand."""


def _cut(text: str) -> str:
    return text if len(text) <= DETAIL_CHARS_MAX else f"{text[: DETAIL_CHARS_MAX - 1]}…"


def _span(ms: int) -> str:
    """Return a time span in the unit that fits it."""
    if ms < SECOND_MS:
        return f"{ms} ms"
    for unit_ms, unit in ((DAY_MS, "days"), (HOUR_MS, "h"), (MINUTE_MS, "min")):
        if ms >= 2 * unit_ms:
            return f"{ms // unit_ms} {unit}"
    return f"{ms / SECOND_MS:.1f} s"
