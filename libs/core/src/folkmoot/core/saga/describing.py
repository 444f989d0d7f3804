"""A shard's sagas as JSON values, for people and programs that ask."""

from __future__ import annotations

from dataclasses import asdict
from itertools import islice
from typing import Any

from folkmoot.core.saga.index import HELD, waits_of
from folkmoot.core.saga.state import Open, Saga, SagaState, Step
from folkmoot.core.shares import DEFAULT_SHARE

WAITING = {
    "waiting": "the steps that it needs",
    "joining": "its parts",
    "running": "its worker's answer",
    "retrying": "the next attempt",
    "deferred": "its agent to be let in again",
    "compensating": "its compensation's answer",
    "compensation-retrying": "the next attempt to undo it",
}


WAITS_SHOWN_MAX = 10
"""Of what one saga waits for, on its line of a list."""

LET_IN = {
    "breaker-open": "the breaker of {agent} to let it through",
    "overloaded": "room at the workers of {agent}",
    "limited": "a limit of {agent} to let it begin",
    "unknown-agent": "a worker that hosts {agent}",
    "unknown-topic": "a worker that hosts {agent}",
}
"""What a step waits for that was not let in, by the kind of the refusal."""


def summary(saga: Saga) -> dict[str, Any]:
    """Return one line about an open saga."""
    return {
        "saga_id": saga.saga_id,
        "team": saga.team,
        "state": saga.shown_state,
        "opened_at": saga.opened_at,
        "ended_at": None,
        "steps_done": len(saga.steps) - saga.left,
        "steps_total": len(saga.steps) if saga.plan_hash else None,
    }


def describe_saga(saga: Saga, steps_max: int) -> dict[str, Any]:
    """Return everything about a saga that is worth showing, at most `steps_max` of its steps."""
    steps = [*saga.hooks.values(), *islice(saga.steps.values(), steps_max)]
    return summary(saga) | {
        "plan_hash": saga.plan_hash,
        "steps": [_step(saga, step) for step in steps],
        "phase": saga.phase,
        "definition": saga.definition or None,
        "share": asdict(saga.share or DEFAULT_SHARE),
        "parent": None
        if saga.parent is None
        else {"saga_id": saga.parent.saga_id, "step_id": saga.parent.step_id},
        "forked_from": {"saga_id": saga.forked_from, "at": saga.forked_at}
        if saga.forked_from
        else None,
        "committed": saga.committed,
        "budget": asdict(saga.budget),
        "spent": asdict(saga.spent) | {"hops": saga.hops},
        "paused_by": saga.paused_by if saga.paused else None,
        "paused_at": saga.paused_at,
        "paused_with_parent": saga.paused_with_parent,
        "questions": [_question(*each) for step in steps for each in step.questions.items()],
        "compensations": list(saga.compensations),
        "not_undone": list(saga.not_undone),
        "failure": None
        if saga.failure is None
        else {"kind": saga.failure.kind, "detail": saga.failure.detail},
        "failed_step": saga.failed_step,
    }


def _step(saga: Saga, step: Step) -> dict[str, Any]:
    held = saga.paused and (step.phase in HELD or step.plan.id in saga.ready)
    return {
        "id": step.plan.id,
        "agent": step.plan.agent,
        "kind": step.kind,
        "role": step.plan.role,
        "stuck": step.stuck,
        "state": step.phase,
        "attempt": step.attempt,
        "needs": list(step.plan.needs),
        "deadline_at": step.deadline_at if step.called else None,
        "waiting_for": "the saga to be resumed" if held else _waiting_for(step),
        "child": step.child_id or None,
        "failure": None if step.failure is None else step.failure.detail,
    }


def _question(question_id: str, question: Open) -> dict[str, Any]:
    return {
        "id": question_id,
        "prompt": question.prompt,
        "schema": question.schema,
        "signal": question.signal or None,
        "deadline_at": question.deadline_at,
    }


def _waiting_for(step: Step) -> str | None:
    for question in step.questions.values():
        return f"signal {question.signal}" if question.signal else "somebody's answer"
    if step.plan.child and step.called:
        return f"saga {step.child_id}"
    if step.phase == "deferred" and step.failure is not None and step.failure.kind in LET_IN:
        return LET_IN[step.failure.kind].format(agent=step.plan.agent)
    return WAITING.get(step.phase)


def line(state: SagaState, saga_id: str) -> dict[str, Any]:
    """Return one line about a saga that is open, or ended lately."""
    saga = state.sagas.get(saga_id)
    if saga is not None:
        return summary(saga) | {"waiting_on": list(islice(waits_of(saga), WAITS_SHOWN_MAX))}
    ended = state.ended[saga_id]
    shown = ended.shown or {}
    return {
        "saga_id": saga_id,
        "team": ended.result.team,
        "state": ended.result.state,
        "opened_at": ended.opened_at,
        "ended_at": ended.ended_at,
        "steps_done": shown.get("steps_done"),
        "steps_total": shown.get("steps_total"),
        "waiting_on": [],
    }


def counts(state: SagaState) -> dict[str, int]:
    """Return how many sagas are in what need of care, and how much waits; costs next to nothing."""
    return {
        "open": len(state.sagas),
        "stuck": len(state.stuck),
        "ready": len(state.backlog),
        "queued": state.lobby.queued,
        "timers": len(state.timers),
        "remembered": len(state.ended),
    }


def summaries(state: SagaState) -> list[dict[str, Any]]:
    """Return one line about each saga that is open, and about each that ended lately."""
    return [line(state, saga_id) for saga_id in (*state.sagas, *state.ended)]


def find(state: SagaState, saga_id: str) -> dict[str, Any] | None:
    """Return the description of a saga, None if it is not known (any more)."""
    if saga_id in state.sagas:
        return describe_saga(state.sagas[saga_id], steps_max=10_000)
    ended = state.ended.get(saga_id)
    return None if ended is None else ended.shown or line(state, saga_id)
