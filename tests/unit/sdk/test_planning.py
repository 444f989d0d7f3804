"""What the leader's hooks give, and what a team without hooks does."""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal
from typing import Any

import pytest

from folkmoot.sdk.agent import Agent, Handler, Team, teams
from folkmoot.sdk.errors import DefinitionError, InvalidInput, UnknownDefinition
from folkmoot.sdk.planning import aggregate, plan
from folkmoot.sdk.steps import Plan, Retry, Step, SubSaga, When

CONTEXT: Any = object()


@dataclass
class Question:
    text: str


async def research(ctx: Any, question: Question) -> list[str]:
    return [question.text]


async def undo(ctx: Any, question: Question, done: list[str] | None) -> None: ...


def team(planner: Handler | None = None, aggregator: Handler | None = None) -> Team:
    agent = Agent("x", team="t")
    retry = Retry(5, initial_s=0.5, factor=3, cap_s=9, total_s=60)
    agent.step("research", timeout_s=1.5, retry=retry)(research).compensate(undo)
    if planner is not None:
        agent.step("write", role="retriable", queue_timeout_s=2, heartbeat_s=1.5)(research)
        agent.plan(planner)
    if aggregator is not None:
        agent.aggregate(aggregator)
    (made,) = teams([agent])
    return made


async def test_a_plan_leaves_as_the_json_that_is_recorded() -> None:
    async def planner(ctx: Any, task: Question) -> list[Step]:
        assert ctx is CONTEXT
        return [
            Step("research", task, id="r1"),
            Step("write", {"text": task.text}, needs=("r1",), agent="x"),
        ]

    made = await plan(team(planner), CONTEXT, {"text": "why"})
    first, second = made["steps"]
    assert made["result"] == "steps"
    assert first == {
        "id": "r1",
        "name": "research",
        "agent": "x",
        "input": {"text": "why"},
        "needs": [],
        "timeout_ms": 1500,
        "retry": {"attempts": 5, "initial_ms": 500, "factor": 3, "cap_ms": 9000, "total_ms": 60000},
        "compensable": True,
        "role": "ordinary",
        "queue_timeout_ms": 0,
        "heartbeat_ms": 0,
    }
    assert (second["id"], second["needs"], second["compensable"]) == ("write", ["r1"], False)
    assert second["role"] == "retriable"
    assert (second["queue_timeout_ms"], second["heartbeat_ms"]) == (2000, 1500)


async def test_conditions_fan_outs_and_a_limit_leave_with_the_plan() -> None:
    async def planner(ctx: Any, task: Question) -> Plan:
        when = When("r1", ["pages", 0], "gt", Decimal(3))
        steps = [Step("research", id="r1"), Step("write", when=when), Step("write", each="r1")]
        return Plan(steps, max_parallel=2)

    made = await plan(team(planner), CONTEXT, {"text": "why"})
    assert made["max_parallel"] == 2
    _, conditional, each = made["steps"]
    assert conditional["when"] == {"step": "r1", "path": ["pages", 0], "op": "gt", "value": "3"}
    assert (conditional["needs"], each["needs"], each["each"]) == (["r1"], ["r1"], "r1")
    assert "when" not in each


def with_saga(definition: Any) -> Team:
    agent = Agent("x", team="t")
    agent.step("research")(research)
    assert agent.saga(definition) is definition
    (made,) = teams([agent])
    return made


def built(task: Question) -> list[Step]:
    return [Step("research", task), Step("research", task, id="again", needs=["research"])]


async def test_a_static_definition_becomes_the_plan_that_a_hook_would_make() -> None:
    async def planner(ctx: Any, task: Question) -> list[Step]:
        return built(task)

    agent = Agent("x", team="t")
    agent.step("research")(research)
    agent.plan(planner)
    (hooked,) = teams([agent])
    listed = [Step("research"), Step("research", id="again", needs=["research"])]
    task = {"text": "why"}
    expected = await plan(hooked, CONTEXT, task)
    assert await plan(with_saga(built), CONTEXT, task) == expected
    assert await plan(with_saga(listed), CONTEXT, task) == expected
    limited = await plan(with_saga(Plan(listed, max_parallel=1)), CONTEXT, task)
    assert limited == expected | {"max_parallel": 1}


async def test_a_step_for_each_item_is_not_given_the_task() -> None:
    listed = [Step("research"), Step("research", id="part", each="research")]
    _, part = (await plan(with_saga(listed), CONTEXT, {"text": "why"}))["steps"]
    assert part["input"] is None


async def test_a_static_definition_checks_the_task_as_a_hook_does() -> None:
    with pytest.raises(InvalidInput, match="the task does not fit"):
        await plan(with_saga(built), CONTEXT, {"words": 3})


async def test_a_team_of_one_step_needs_no_plan() -> None:
    made = await plan(team(), CONTEXT, {"text": "why"})
    (step,) = made["steps"]
    assert made["result"] == "only-step"
    assert (step["id"], step["name"], step["input"]) == ("research", "research", {"text": "why"})


async def test_a_team_of_more_steps_is_told_to_plan() -> None:
    agents = [Agent("a", team="t"), Agent("b", team="t")]
    for agent in agents:
        agent.step("research")(research)
    (made,) = teams(agents)
    with pytest.raises(DefinitionError, match=r"'t' has 2 steps and no plan: decorate a function"):
        await plan(made, CONTEXT, None)
    with pytest.raises(DefinitionError, match="has 0 steps and no plan"):
        await plan(teams([Agent("c", team="u")])[0], CONTEXT, None)


@pytest.mark.parametrize("steps", [None, "research", [Step("research"), "write"], {"a": 1}, 7])
async def test_a_plan_that_is_no_list_of_steps_is_refused(steps: Any) -> None:
    async def planner(ctx: Any, task: Question) -> list[Step]:
        return steps  # type: ignore[no-any-return]

    with pytest.raises(DefinitionError, match="the plan of team 't' is no list of Step"):
        await plan(team(planner), CONTEXT, {"text": "why"})


async def test_a_plan_may_name_only_steps_that_there_are() -> None:
    async def planner(ctx: Any, task: Question) -> list[Step]:
        return [Step("sing")]

    with pytest.raises(
        DefinitionError, match="a step 'sing' in team 't'; there are: research, write"
    ):
        await plan(team(planner), CONTEXT, {"text": "why"})


async def test_a_task_that_does_not_fit_never_reaches_the_planner() -> None:
    async def planner(ctx: Any, task: Question) -> list[Step]:
        raise AssertionError

    with pytest.raises(InvalidInput, match="the task does not fit its annotation"):
        await plan(team(planner), CONTEXT, {"txt": "why"})


async def test_results_are_aggregated_by_the_team_or_returned_as_they_are() -> None:
    async def count(ctx: Any, results: dict[str, Any]) -> int:
        assert ctx is CONTEXT
        return len(results)

    async def no_steps(ctx: Any, task: Question) -> list[Step]:
        return []

    results = {"a": 1, "b": [2]}
    assert await aggregate(team(aggregator=count), CONTEXT, results) == 2
    assert await aggregate(team(no_steps), CONTEXT, results) == results
    assert await aggregate(team(), CONTEXT, {"only": 7}) == 7


async def test_a_team_may_have_several_definitions() -> None:
    agents = [Agent("a", team="t"), Agent("b", team="t")]
    agents[0].step("research")(research)
    agents[0].saga([Step("research", {"text": "why"})], name="once")
    agents[1].saga(built)
    (made,) = teams(agents)
    assert len((await plan(made, CONTEXT, {"text": "why"}, "once"))["steps"]) == 1
    assert len((await plan(made, CONTEXT, {"text": "why"}))["steps"]) == 2


@pytest.mark.parametrize(
    ("given", "known"), [(built, "plan"), (None, "none")], ids=["others", "none"]
)
async def test_a_definition_that_a_team_does_not_have_is_named(given: Any, known: str) -> None:
    made = team() if given is None else with_saga(given)
    with pytest.raises(
        UnknownDefinition, match=f"team 't' has no saga 'refund'; there are: {known}"
    ):
        await plan(made, CONTEXT, {"text": "why"}, "refund")


def test_two_definitions_of_one_name_are_refused() -> None:
    agents = [Agent("a", team="t"), Agent("b", team="t")]
    for agent in agents:
        agent.saga([], name="refund")
    with pytest.raises(DefinitionError, match="several refund sagas: a, b"):
        teams(agents)
    with pytest.raises(DefinitionError, match="two sagas called 'refund'"):
        agents[0].saga([], name="refund")
    with pytest.raises(DefinitionError, match="'Not so' is no name for a saga"):
        agents[0].saga([], name="Not so")


async def test_a_step_may_be_a_saga_of_the_team_or_of_another() -> None:
    agent = Agent("x", team="t")
    agent.step("research")(research)
    agent.saga([Step("research")], name="survey")
    children = [
        SubSaga("survey", {"text": "why"}),
        SubSaga("refund", id="back", needs=["survey"], team="bank", timeout_s=5, retry=Retry(2)),
    ]
    agent.saga(children)
    (made,) = teams([agent])
    first, second = (await plan(made, CONTEXT, {"text": "how"}))["steps"]
    assert (first["child"], first["agent"], first["name"]) == (True, "t", "survey")
    assert (first["input"], first["retry"]["attempts"]) == ({"text": "why"}, 1)
    assert (second["agent"], second["needs"], second["timeout_ms"]) == ("bank", ["survey"], 5_000)
    assert second["retry"]["attempts"] == 2
    assert "compensable" not in second, "the saga machine sees to that"


async def test_a_saga_that_the_team_does_not_have_is_no_step() -> None:
    with pytest.raises(UnknownDefinition, match="no saga 'survey'"):
        await plan(with_saga([SubSaga("survey")]), CONTEXT, {"text": "how"})
