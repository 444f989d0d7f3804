"""Checks a plan as a leader returned it, before it is recorded for good."""

from __future__ import annotations

import json
from collections import deque
from collections.abc import Mapping, Sequence
from hashlib import blake2b
from typing import Any

from folkmoot.core.messages import Json
from folkmoot.core.saga.events import PlannedStep
from folkmoot.core.saga.settings import RESERVED_IDS, SagaSettings


class InvalidPlan(ValueError):
    """A plan cannot be run. The message says what is wrong with which step."""


def parse_plan(plan: Json, settings: SagaSettings) -> tuple[PlannedStep, ...]:
    """Return the steps of a plan, in the plan's order.

    Raises:
        InvalidPlan: it is not a list of steps, or they contradict each other.
    """
    if not isinstance(plan, list):
        raise InvalidPlan(f"a plan is a list of steps, not {type(plan).__name__}")
    if len(plan) > settings.steps_max:
        raise InvalidPlan(f"{len(plan):,} steps, the limit is {settings.steps_max:,}")
    steps = tuple(_step(number, step, settings) for number, step in enumerate(plan))
    _check_ids(steps)
    _check_needs(steps)
    return steps


def plan_hash(steps: Sequence[PlannedStep]) -> str:
    """Return what tells this plan from any other."""
    fields = [[getattr(step, name) for name in PlannedStep.__slots__] for step in steps]
    text = json.dumps(fields, sort_keys=True, separators=(",", ":"))
    return blake2b(text.encode(), digest_size=16).hexdigest()


def _step(number: int, step: Json, settings: SagaSettings) -> PlannedStep:
    if not isinstance(step, dict):
        raise InvalidPlan(f"step {number} is no object")
    label = step.get("id", number)
    retry = step.get("retry", {})
    try:
        parsed = PlannedStep(
            _text(step, "id"),
            _text(step, "name"),
            _text(step, "agent"),
            step.get("input"),
            _needs(step),
            _number(step, "timeout_ms", 60_000),
            _number(retry, "attempts", 3),
            _number(retry, "initial_ms", 200),
            float(retry.get("factor", 2.0)),
            _number(retry, "cap_ms", 30_000),
            bool(step.get("compensable", False)),
        )
    except (TypeError, ValueError, AttributeError) as error:
        raise InvalidPlan(f"step {label!r}: {error}") from None
    _check_limits(parsed, settings)
    return parsed


def _text(step: Mapping[str, Any], name: str) -> str:
    value = step.get(name)
    if not isinstance(value, str) or not value:
        raise ValueError(f"{name} must be a non-empty string")
    return value


def _needs(step: Mapping[str, Any]) -> tuple[str, ...]:
    needs = step.get("needs", [])
    if not isinstance(needs, list) or not all(isinstance(need, str) for need in needs):
        raise ValueError("needs must be a list of step ids")
    return tuple(dict.fromkeys(needs))


def _number(source: Mapping[str, Any], name: str, default: int) -> int:
    value = source.get(name, default)
    if not isinstance(value, int) or isinstance(value, bool) or value < 1:
        raise ValueError(f"{name} must be a whole number above zero")
    return value


def _check_limits(step: PlannedStep, settings: SagaSettings) -> None:
    if len(step.id) > settings.id_chars_max or "/" in step.id:
        raise InvalidPlan(
            f"step id {step.id[:50]!r}: use at most {settings.id_chars_max} characters and no '/'"
        )
    if step.id in RESERVED_IDS:
        raise InvalidPlan(f"step id {step.id!r} is reserved for the leader's hook of that name")
    if step.timeout_ms > settings.timeout_ms_max:
        raise InvalidPlan(f"step {step.id!r}: timeout_ms is over {settings.timeout_ms_max:,}")
    if step.factor < 1:
        raise InvalidPlan(f"step {step.id!r}: factor must be at least 1")


def _check_ids(steps: Sequence[PlannedStep]) -> None:
    seen: set[str] = set()
    for step in steps:
        if step.id in seen:
            raise InvalidPlan(f"two steps have the id {step.id!r}: give one of them another")
        seen.add(step.id)


def _check_needs(steps: Sequence[PlannedStep]) -> None:
    needs = {step.id: step.needs for step in steps}
    for step in steps:
        for need in step.needs:
            if need not in needs:
                raise InvalidPlan(f"step {step.id!r} needs {need!r}, which is not in the plan")
    stuck = _unorderable(needs)
    if stuck:
        raise InvalidPlan(f"steps need each other in a cycle: {' → '.join(_cycle(needs, stuck))}")


def _unorderable(needs: Mapping[str, Sequence[str]]) -> set[str]:
    """Return the steps that no order can satisfy (Kahn, 1962)."""
    unmet = {step_id: len(needed) for step_id, needed in needs.items()}
    dependants: dict[str, list[str]] = {step_id: [] for step_id in needs}
    for step_id, needed in needs.items():
        for need in needed:
            dependants[need].append(step_id)
    ready = deque(step_id for step_id, count in unmet.items() if count == 0)
    while ready:
        step_id = ready.popleft()
        del unmet[step_id]
        for dependant in dependants[step_id]:
            unmet[dependant] -= 1
            if unmet[dependant] == 0:
                ready.append(dependant)
    return set(unmet)


def _cycle(needs: Mapping[str, Sequence[str]], stuck: set[str]) -> list[str]:
    """Return one cycle among `stuck`, beginning and ending with the same step."""
    path, places = [min(stuck)], {min(stuck): 0}
    while True:
        following = next(need for need in needs[path[-1]] if need in stuck)
        if following in places:
            return [*path[places[following] :], following]
        places[following] = len(path)
        path.append(following)
