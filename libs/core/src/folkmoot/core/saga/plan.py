"""Checks a plan as a leader returned it, before it is recorded for good."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

from folkmoot.core.messages import Json
from folkmoot.core.saga.conditions import COMPARISONS
from folkmoot.core.saga.plan_events import (
    NAMES_BYTES,
    Condition,
    PlannedStep,
    ResultOf,
    Role,
    hash_of,
    text_of,
)
from folkmoot.core.saga.settings import RESERVED_IDS, SagaSettings
from folkmoot.core.saga.shape import InvalidPlan, PlanTampered, check_shape

STEP_FIELDS = frozenset(
    {
        "id",
        "name",
        "agent",
        "input",
        "needs",
        "timeout_ms",
        "retry",
        "compensable",
        "role",
        "queue_timeout_ms",
        "heartbeat_ms",
        "when",
        "each",
        "child",
    }
)
PLAN_FIELDS = frozenset({"steps", "max_parallel", "result"})
RESULTS: tuple[ResultOf, ...] = ("aggregate", "steps", "only-step")
WHEN_FIELDS = frozenset({"step", "path", "op", "value"})
RETRY_FIELDS = frozenset({"attempts", "initial_ms", "factor", "cap_ms", "total_ms"})
ROLES: tuple[Role, ...] = ("ordinary", "pivot", "retriable")

HASH_CHARS_SHOWN = 64
"""Of a hash that somebody gave us; ours have 32."""

CHILD_TIMEOUT_MS = 24 * 3600 * 1000
"""For a step that is a saga, if its plan does not say: its own steps have limits of their own."""

ATTEMPTS_MAX = 1_000_000
"""Of a step: beyond any use, and no burden to any reader of the number."""

FACTOR_MAX = 1_000_000
"""Of a back-off: it reaches any cap with the second attempt."""


class Plan(NamedTuple):
    """Steps that can be run, in the plan's order, and what tells them from any others.

    The hash of a plan is the same in every version of Folkmoot that can run it.
    """

    steps: tuple[PlannedStep, ...]
    hash: str
    max_parallel: int
    result: ResultOf


def parse_plan(plan: Json, settings: SagaSettings) -> Plan:
    """Return the plan that a leader's hook returned: steps, or an object with `steps`.

    Raises:
        InvalidPlan: it is not a list of steps, they contradict each other, or are too many.
    """
    max_parallel, result = 0, RESULTS[0]
    if isinstance(plan, dict):
        _check_fields(plan, PLAN_FIELDS)
        max_parallel = _number(plan, "max_parallel", 0, 0, settings.steps_max)
        result = _result(plan)
        plan = plan.get("steps")
    if not isinstance(plan, list):
        raise InvalidPlan(f"a plan is a list of steps, not {type(plan).__name__}")
    if len(plan) > settings.steps_max:
        raise InvalidPlan(f"{len(plan):,} steps, the limit is {settings.steps_max:,}")
    steps = tuple(_step(number, step, settings) for number, step in enumerate(plan))
    check_shape(steps)
    text = text_of(steps)
    if (size := len(text) + NAMES_BYTES * len(steps)) > settings.plan_bytes_max:
        raise InvalidPlan(
            f"{size:,} bytes, the limit is {settings.plan_bytes_max:,}: "
            "plan fewer steps, or pass references to their inputs"
        )
    return Plan(steps, hash_of(text, max_parallel, result), max_parallel, result)


def check_pinned(plan: Plan, pinned: str) -> None:
    """Raise `PlanTampered` if another plan than this was asked for."""
    if pinned and plan.hash != pinned:
        raise PlanTampered(
            f"the plan has the hash {plan.hash}, and only {pinned[:HASH_CHARS_SHOWN]} may be run: "
            "look at what has changed, and ask for this one if it is what you want"
        )


def _step(number: int, step: Json, settings: SagaSettings) -> PlannedStep:
    if not isinstance(step, dict):
        raise InvalidPlan(f"step {number} is no object")
    try:
        return _parsed(step, settings)
    except InvalidPlan as error:
        label = repr(step.get("id", number))[: settings.id_chars_max]
        raise InvalidPlan(f"step {label}: {error}") from None


def _parsed(step: Mapping[str, Any], settings: SagaSettings) -> PlannedStep:
    retry = step.get("retry", {})
    if not isinstance(retry, dict):
        raise InvalidPlan("retry must be an object")
    _check_fields(step, STEP_FIELDS)
    _check_fields(retry, RETRY_FIELDS)
    longest = settings.timeout_ms_max
    child = _flag(step, "child")
    if child and (step.get("queue_timeout_ms") or step.get("heartbeat_ms")):
        raise InvalidPlan("it is a saga: no worker begins it, or could be silent")
    return PlannedStep(
        _id(step, settings.id_chars_max),
        _text(step, "name"),
        _text(step, "agent"),
        step.get("input"),
        _needs(step),
        _number(step, "timeout_ms", CHILD_TIMEOUT_MS if child else 60_000, 1, longest),
        _number(retry, "attempts", 1 if child else 3, 1, ATTEMPTS_MAX),
        _number(retry, "initial_ms", 200, 0, longest),
        _factor(retry),
        _number(retry, "cap_ms", 30_000, 0, longest),
        _flag(step, "compensable") or (child and step.get("role") != "pivot"),
        _role(step),
        _number(retry, "total_ms", 0, 0, longest),
        _number(step, "queue_timeout_ms", 0, 0, longest),
        _number(step, "heartbeat_ms", 0, 0, longest),
        _when(step),
        _each(step),
        child,
    )


def _check_fields(source: Mapping[str, Any], known: frozenset[str]) -> None:
    if not known.issuperset(source):
        name = next(name for name in source if name not in known)
        raise InvalidPlan(f"{name!r} is none of its fields: {', '.join(sorted(known))}")


def _id(step: Mapping[str, Any], chars_max: int) -> str:
    step_id = _text(step, "id")
    if len(step_id) > chars_max or "/" in step_id:
        raise InvalidPlan(f"use at most {chars_max} characters and no '/' for its id")
    if step_id in RESERVED_IDS:
        raise InvalidPlan("its id is reserved for the leader's hook of that name")
    return step_id


def _text(step: Mapping[str, Any], name: str) -> str:
    value = step.get(name)
    if not isinstance(value, str) or not value:
        raise InvalidPlan(f"{name} must be a non-empty string")
    return value


def _needs(step: Mapping[str, Any]) -> tuple[str, ...]:
    needs = step.get("needs", [])
    if not isinstance(needs, list) or not all(isinstance(need, str) for need in needs):
        raise InvalidPlan("needs must be a list of step ids")
    return tuple(dict.fromkeys(needs))


def _number(source: Mapping[str, Any], name: str, default: int, least: int, most: int) -> int:
    value = source.get(name, default)
    if not isinstance(value, int) or isinstance(value, bool) or not least <= value <= most:
        raise InvalidPlan(f"{name} must be a whole number from {least} to {most:,}")
    return value


def _factor(retry: Mapping[str, Any]) -> float:
    value = retry.get("factor", 2.0)
    if not isinstance(value, int | float) or isinstance(value, bool):
        raise InvalidPlan("factor must be a number")
    if not 1 <= value <= FACTOR_MAX:
        raise InvalidPlan(f"factor must be from 1 to {FACTOR_MAX:,}")
    return float(value)


def _flag(step: Mapping[str, Any], name: str) -> bool:
    value = step.get(name, False)
    if not isinstance(value, bool):
        raise InvalidPlan(f"{name} must be true or false")
    return value


def _role(step: Mapping[str, Any]) -> Role:
    value = step.get("role", "ordinary")
    for role in ROLES:
        if value == role:
            return role
    raise InvalidPlan(f"role must be one of: {', '.join(ROLES)}")


def _result(plan: Mapping[str, Any]) -> ResultOf:
    value = plan.get("result", RESULTS[0])
    for result in RESULTS:
        if value == result:
            return result
    raise InvalidPlan(f"result must be one of: {', '.join(RESULTS)}")


def _when(step: Mapping[str, Any]) -> Condition | None:
    value = step.get("when")
    if value is None:
        return None
    if not isinstance(value, dict):
        raise InvalidPlan("when must be an object")
    _check_fields(value, WHEN_FIELDS)
    op, path = value.get("op", "truthy"), value.get("path", [])
    if op not in COMPARISONS:
        raise InvalidPlan(f"op must be one of: {', '.join(COMPARISONS)}")
    if not isinstance(path, list) or not all(type(part) in (str, int) for part in path):
        raise InvalidPlan("path must be a list of names and numbers")
    return Condition(_text(value, "step"), tuple(path), op, value.get("value"))


def _each(step: Mapping[str, Any]) -> str:
    value = step.get("each", "")
    if not isinstance(value, str):
        raise InvalidPlan("each must be the id of a step")
    if value and step.get("input") is not None:
        raise InvalidPlan("each and input exclude each other: the items are the inputs")
    return value
