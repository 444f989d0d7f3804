"""The leader's hooks and their defaults: what a team does that writes none.

A plan leaves here as the JSON that the saga machine records; from then on no member needs to plan
again to go on with it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from folkmoot.core.messages import Json
from folkmoot.sdk.agent import DEFAULT_DEFINITION, Team, fit
from folkmoot.sdk.context import Context
from folkmoot.sdk.errors import DefinitionError
from folkmoot.sdk.steps import Plan, Step, SubSaga, limit_ms, to_json


async def plan(
    team: Team, context: Context, task: Json, definition: str = DEFAULT_DEFINITION
) -> Json:
    """Return the plan for `task`: by one of the team's definitions, or its only step.

    Raises:
        InvalidInput: the task is not what the team's `plan` hook takes.
        UnknownDefinition: the team has no such definition.
        DefinitionError: the plan names what the team does not have.
    """
    planner = team.planner(definition)
    if planner is None:
        return _whole([_planned(team, _only_step(team, task))], 0, team)
    planned = await planner.hook(context, fit(planner.input, task, "the task"))
    steps = planned.steps if isinstance(planned, Plan) else planned
    if not isinstance(steps, Sequence) or not all(isinstance(step, Step) for step in steps):
        raise DefinitionError(f"the plan of team {team.name!r} is no list of Step")
    written = [_planned(team, step) for step in steps]
    return _whole(written, planned.max_parallel if isinstance(planned, Plan) else 0, team)


def _whole(steps: list[dict[str, Any]], max_parallel: int, team: Team) -> Json:
    """Return a plan that spares the leader the question for what it would answer by default."""
    result = "steps" if team.planners else "only-step"
    if team.aggregator is not None and team.aggregator.aggregate_hook is not None:
        result = "aggregate"
    return {"steps": steps, "max_parallel": max_parallel, "result": result}


def _only_step(team: Team, task: Json) -> Step:
    names = [name for agent in team.agents.values() for name in agent.steps]
    if len(names) != 1:
        raise DefinitionError(
            f"team {team.name!r} has {len(names)} steps and no plan: decorate a function "
            "with @agent.plan that returns the steps to run"
        )
    return Step(names[0], task)


def _planned(team: Team, step: Step) -> dict[str, Any]:
    special: dict[str, Any] = {} if step.when is None else {"when": step.when.to_json()}
    if step.each is not None:
        special["each"] = step.each
    written = special | {
        "id": step.step_id,
        "name": step.name,
        "input": to_json(step.input),
        "needs": step.all_needs,
    }
    return written | (_child(team, step) if isinstance(step, SubSaga) else _called(team, step))


def _child(team: Team, step: SubSaga) -> dict[str, Any]:
    if step.team in (None, team.name):
        team.planner(step.name)
    return {
        "child": True,
        "agent": step.team or team.name,
        "timeout_ms": limit_ms(step.timeout_s),
        "retry": step.retry.to_json(),
    }


def _called(team: Team, step: Step) -> dict[str, Any]:
    agent, definition = team.find(step)
    return {
        "agent": agent.name,
        "timeout_ms": round(definition.timeout_s * 1000),
        "retry": definition.retry.to_json(),
        "compensable": definition.compensation is not None,
        "role": definition.role,
        "queue_timeout_ms": limit_ms(definition.queue_timeout_s),
        "heartbeat_ms": limit_ms(definition.heartbeat_s),
    }


async def aggregate(team: Team, context: Context, results: Mapping[str, Json]) -> Any:
    """Return the task's result: the team's own aggregation, or the steps' results by id.

    A team that neither plans nor aggregates has one step, and its result is the task's.
    """
    if team.aggregator is None or team.aggregator.aggregate_hook is None:
        return results if team.planners else next(iter(results.values()))
    return await team.aggregator.aggregate_hook(context, results)
