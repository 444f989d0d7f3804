"""Checks how the steps of a plan hang together: ids, needs, cycles, what is beside a pivot."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Mapping, Sequence

from folkmoot.core.saga.plan_events import PlannedStep

CYCLE_STEPS_SHOWN_MAX = 10


class InvalidPlan(ValueError):
    """A plan cannot be run. The message says what is wrong with which step."""


class PlanTampered(InvalidPlan):
    """A plan is not the one that was asked for: somebody or something has changed it."""


def check_shape(steps: Sequence[PlannedStep]) -> None:
    """Raise `InvalidPlan` if the steps cannot be run together. Linear in steps and needs."""
    _check_ids(steps)
    _check_needs(steps)
    _check_parts(steps)
    _check_pivot(steps)


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
        raise InvalidPlan(f"steps need each other in a cycle: {_shown(_cycle(needs, stuck))}")


def _check_parts(steps: Sequence[PlannedStep]) -> None:
    """Let conditions and fan-outs look at needs only, and parts have ids of their own."""
    expanded = {step.id for step in steps if step.each}
    for step in steps:
        looked_at = {step.each} if step.each else set()
        looked_at |= {step.when.step} if step.when else set()
        for missing in looked_at - set(step.needs):
            raise InvalidPlan(f"step {step.id!r} looks at {missing!r}: it must be one of its needs")
        if step.role == "pivot" and looked_at:
            raise InvalidPlan(f"step {step.id!r} is a pivot: it can have no condition and no parts")
        whole, bracket, _ = step.id.rpartition("[")
        if bracket and whole in expanded:
            raise InvalidPlan(f"step {step.id!r} has the id of a part of {whole!r}")


def _unorderable(needs: Mapping[str, Sequence[str]]) -> set[str]:
    """Return the steps that no order can satisfy (Kahn, 1962)."""
    unmet = {step_id: len(needed) for step_id, needed in needs.items()}
    dependants = _turned(needs)
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


def _shown(cycle: Sequence[str]) -> str:
    if len(cycle) <= CYCLE_STEPS_SHOWN_MAX:
        return " → ".join(cycle)
    shown = cycle[: CYCLE_STEPS_SHOWN_MAX - 1]
    return " → ".join([*shown, f"… ({len(cycle) - 1:,} steps in all)", cycle[-1]])


def _check_pivot(steps: Sequence[PlannedStep]) -> None:
    """Let there be one point of no return, and nothing beside it that might want to return."""
    pivots = [step for step in steps if step.role == "pivot"]
    if not pivots:
        return
    if len(pivots) > 1:
        raise InvalidPlan(
            f"two pivots, {pivots[0].id!r} and {pivots[1].id!r}: what comes after the first can "
            "only go forward, so make the other retriable"
        )
    (pivot,) = pivots
    if pivot.compensable:
        raise InvalidPlan(f"step {pivot.id!r} is a pivot and compensable: it can be only one")
    needs = {step.id: step.needs for step in steps}
    ordered = _reached(pivot.id, needs) | _reached(pivot.id, _turned(needs))
    for step in steps:
        if step.id not in ordered and step.role != "retriable":
            raise InvalidPlan(
                f"step {step.id!r} may run beside the pivot {pivot.id!r}, and could fail when "
                "there is no return: let one need the other, or make it retriable"
            )


def _turned(needs: Mapping[str, Iterable[str]]) -> Mapping[str, Iterable[str]]:
    """Return the dependants of each step."""
    dependants: dict[str, list[str]] = {step_id: [] for step_id in needs}
    for step_id, needed in needs.items():
        for need in needed:
            dependants[need].append(step_id)
    return dependants


def _reached(start: str, edges: Mapping[str, Iterable[str]]) -> set[str]:
    """Return `start` and all that is reached from it."""
    found, ahead = {start}, [start]
    while ahead:
        for step_id in edges[ahead.pop()]:
            if step_id not in found:
                found.add(step_id)
                ahead.append(step_id)
    return found
