"""Forks: a task that begins with what another saga had done after some of its events.

A fork is submitted as any task is, with the recorded plan and results in it, and is a saga of its
own from then on. A patch, by the rules of JSON Merge Patch (RFC 7396), changes what it begins with.
What a change makes doubtful is not carried over: the step itself, and all that needs it.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any, TypeVar

from folkmoot.contracts.codec import decode_data
from folkmoot.core.forks import Fork
from folkmoot.core.messages import Json, Task
from folkmoot.core.names import wire_name
from folkmoot.core.saga import Saga
from folkmoot.core.saga.events import CompensationStarted, SagaOpened
from folkmoot.core.saga.forking import written
from folkmoot.core.saga.plan_events import PlanRecorded
from folkmoot.sdk.errors import CannotFork
from folkmoot.sdk.past import Recorded, folded

E = TypeVar("E")

DONE = frozenset({"succeeded", "skipped", "omitted"})
"""Phases of a step that is not run again. A skipped or omitted one has no result, also here."""

PATCHED = ("input", "steps", "results")


def fork_of(saga_id: str, history: Sequence[Recorded], patch: Mapping[str, Json] | None) -> Task:
    """Return the task of a saga that goes on from where another was after these events.

    `patch` may say otherwise of the task's `input`, as long as there is no plan; of `steps`, by id,
    as plans have them; of `results`, by step id. What is null in it is taken away.

    Raises:
        CannotFork: the saga had ended by then, or was turning back; or the patch does not fit.
    """
    opened = _first(history, SagaOpened)
    saga = folded(history).sagas.get(saga_id)
    if opened is None or saga is None:
        raise CannotFork(saga_id, f"it had ended by event {len(history)}: take an earlier one")
    if saga.phase == "compensating":
        turned = next(n for n, each in enumerate(history) if _is_turn(each))
        raise CannotFork(saga_id, f"it had turned back by then: take event {turned} at most")
    patch = patch or {}
    _check(saga_id, patch, planned=bool(saga.plan_hash))
    task = Task(
        opened.team,
        merged(opened.input, patch["input"]) if "input" in patch else opened.input,
        budget=opened.budget,
        definition=opened.definition,
        plan_hash=opened.plan_hash,
        share=opened.share,
        fork=Fork(saga_id, len(history)),
    )
    recorded = _first(history, PlanRecorded)
    return task if recorded is None else _planned(task, saga, recorded, patch)


def _planned(task: Task, saga: Saga, recorded: PlanRecorded, patch: Mapping[str, Json]) -> Task:
    before = {step.id: written(step) for step in recorded.steps}
    steps: dict[str, Any] = merged(before, patch.get("steps", {}))
    for step_id, step in steps.items():
        step["id"] = step_id
    done = {
        step.plan.id: step.result
        for step in saga.steps.values()
        if step.phase in DONE and step.whole is None
    }
    given = patch.get("results", {})
    changed = [each for each in {**before, **steps} if before.get(each) != steps.get(each)]
    doubtful = _downstream(steps, [*changed, *given])
    kept = {name: result for name, result in done.items() if name not in doubtful}
    results = kept | {name: result for name, result in given.items() if result is not None}
    assert task.fork is not None
    return replace(
        task,
        plan={
            "steps": [*steps.values()],
            "max_parallel": recorded.max_parallel,
            "result": recorded.result,
        },
        plan_hash="" if changed else recorded.plan_hash,
        fork=replace(task.fork, results=results),
    )


def _downstream(steps: Mapping[str, Mapping[str, Any]], of: Iterable[str]) -> set[str]:
    """Return these steps and all that need them, directly or not."""
    dependants: dict[str, list[str]] = {}
    for step_id, step in steps.items():
        for need in step.get("needs", ()):
            dependants.setdefault(need, []).append(step_id)
    found, open_ = set[str](), [*of]
    while open_:
        step_id = open_.pop()
        if step_id not in found:
            found.add(step_id)
            open_ += dependants.get(step_id, ())
    return found


def _check(saga_id: str, patch: Mapping[str, Json], *, planned: bool) -> None:
    unknown = [name for name in patch if name not in PATCHED]
    if unknown:
        raise CannotFork(saga_id, f"{unknown[0]!r} of the patch is none of: {', '.join(PATCHED)}")
    if planned and "input" in patch:
        raise CannotFork(saga_id, "its plan was made by then: patch the inputs of its `steps`")
    if not planned and patch.keys() - {"input"}:
        raise CannotFork(saga_id, "it had no plan by then: only its `input` can be patched")
    wrong = [name for name in patch if name != "input" and not isinstance(patch[name], dict)]
    if wrong:
        raise CannotFork(saga_id, f"{wrong[0]!r} of the patch must be an object, by step id")
    for step_id, step in patch.get("steps", {}).items():
        if not isinstance(step, dict | None):
            raise CannotFork(saga_id, f"step {step_id!r} of the patch is no object, and not null")


def merged(target: Json, patch: Json) -> Json:
    """Return `target` with a JSON Merge Patch applied (RFC 7396)."""
    if not isinstance(patch, dict):
        return patch
    result = dict(target) if isinstance(target, dict) else {}
    for name, value in patch.items():
        if value is None:
            result.pop(name, None)
        else:
            result[name] = merged(result.get(name), value)
    return result


def _first(history: Sequence[Recorded], cls: type[E]) -> E | None:
    for recorded in history:
        if recorded["event"]["type"] == wire_name(cls):
            event = decode_data(cls, recorded["event"]["data"])
            assert isinstance(event, cls)
            return event
    return None


def _is_turn(recorded: Recorded) -> bool:
    return str(recorded["event"]["type"]) == wire_name(CompensationStarted)
