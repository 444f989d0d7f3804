"""How agents are defined, and what each wrong definition is told."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import pytest

from folkmoot.core import messages, shares
from folkmoot.sdk.agent import Agent, StepDefinition, Team, teams
from folkmoot.sdk.errors import DefinitionError
from folkmoot.sdk.steps import Budget, Limit, Retry, Step

if TYPE_CHECKING:
    from somewhere import Elsewhere  # type: ignore[import-not-found]


@dataclass
class Question:
    text: str


async def research(ctx: Any, question: Question) -> list[str]:
    return [question.text]


async def undo(ctx: Any, question: Question, done: list[str] | None) -> None: ...


async def plan(ctx: Any, task: Question) -> list[Step]:
    return []


async def aggregate(ctx: Any, results: dict[str, Any]) -> int:
    return len(results)


def _not_async(ctx: Any, question: Question) -> None: ...
async def no_input(ctx: Any) -> None: ...
async def too_much(ctx: Any, question: Question, more: int) -> None: ...
async def bare(ctx, question): ...  # type: ignore[no-untyped-def]
async def no_result(ctx, question: Question): ...  # type: ignore[no-untyped-def]
async def unknown_type(ctx: Any, question: Elsewhere) -> None: ...
async def no_type(ctx: Any, question: dict.nothing) -> None: ...  # type: ignore[name-defined]


def no_task() -> list[Step]: ...  # type: ignore[empty-body]


not_async: Any = _not_async


def compensated_twice(step: StepDefinition) -> None:
    step.compensate(undo)
    step.compensate(undo)


STEP = r"async def step\(ctx, input: Input\) -> Output"
PLAN = r"async def plan\(ctx, task: Task\) -> list\[Step\]"
WRONG: list[tuple[Callable[[Agent], object], str]] = [
    (lambda a: a.step("s")(not_async), rf"_not_async must be an async function: {STEP}"),
    (lambda a: a.step("s")(no_input), rf"no_input takes 1 parameters; expected {STEP}"),
    (lambda a: a.step("s")(too_much), rf"too_much takes 3 parameters; expected {STEP}"),
    (lambda a: a.step("s")(bare), rf"no type annotation for question, return; expected {STEP}"),
    (lambda a: a.step("s")(no_result), r"no_result has no type annotation for return"),
    (lambda a: a.step("s")(unknown_type), r"'Elsewhere' is not defined; define the type at the"),
    (lambda a: a.step("s")(no_type), r"no attribute 'nothing'; define the type"),
    (lambda a: a.step("s", timeout_s=0), r"step 's': timeout_s must be over 0"),
    (lambda a: a.step("s", timeout_s=float("nan")), r"timeout_s must be over 0"),
    (lambda a: a.step("s", heartbeat_s=0), r"step 's': heartbeat_s must be over 0"),
    (lambda a: a.step("s", queue_timeout_s=-1), r"step 's': queue_timeout_s must be over 0"),
    (lambda a: a.step("s", role="captain"), r"role must be one of: ordinary, pivot, retriable"),  # type: ignore[arg-type]
    (lambda a: a.step("s", role="pivot")(research).compensate(undo), r"it cannot be undone"),
    (lambda a: a.step("s", timeout_s=8 * 24 * 3600), r"at most a week"),
    (lambda a: (a.step("s")(research), a.step("s")), r"agent 'x' has two steps called 's'"),
    (lambda a: a.step("s")(research).compensate(research), r"expected async def undo\(ctx, input"),
    (lambda a: a.step("s")(research).compensate(not_async), r"must be an async function"),
    (lambda a: compensated_twice(a.step("s")(research)), r"step 's' has two compensations"),
    (lambda a: a.plan(bare), rf"no type annotation for question, return; expected {PLAN}"),
    (lambda a: a.plan(not_async), rf"must be an async function: {PLAN}"),
    (lambda a: (a.plan(plan), a.plan(plan)), r"agent 'x' has two plan hooks"),
    (lambda a: a.saga(plan), r"plan is async; expected def saga\(task: Task\) -> list\[Step\]"),
    (lambda a: a.saga(no_task), r"takes 0 parameters; expected def saga\(task: Task\)"),
    (lambda a: a.saga(lambda task: []), r"no type annotation for task, return"),
    (lambda a: a.saga([1]), r"the saga of agent 'x' is no list of Step"),  # type: ignore[type-var]
    (lambda a: (a.plan(plan), a.saga([])), r"agent 'x' has two plan hooks"),
    (lambda a: a.aggregate(undo), r"expected async def aggregate\(ctx, results"),
    (lambda a: (a.aggregate(aggregate), a.aggregate(aggregate)), r"'x' has two aggregate hooks"),
]


@pytest.mark.parametrize(("define", "sentence"), WRONG)
def test_a_wrong_definition_is_told_where_it_is_made(
    define: Callable[[Agent], object], sentence: str
) -> None:
    with pytest.raises(DefinitionError, match=sentence):
        define(Agent("x", team="t"))


@pytest.mark.parametrize(
    ("fields", "sentence"),
    [
        ({"name": "Bad Name"}, "'Bad Name' is no name for an agent: use up to 63 lower-case"),
        ({"name": "a.b"}, "no name for an agent"),
        ({"name": ""}, "no name for an agent"),
        ({"name": "x" * 64}, "no name for an agent"),
        ({"team": "-x"}, "'-x' is no name for a team"),
        ({"team": "x\n"}, "no name for a team"),
        ({"concurrency": 0}, "concurrency must be from 1 to 1000"),
        ({"concurrency": 1001}, "concurrency must be from 1 to 1000"),
        ({"partitions": 0}, "partitions must be at least 1"),
    ],
)
def test_an_agent_is_checked_when_it_is_made(fields: dict[str, Any], sentence: str) -> None:
    with pytest.raises(DefinitionError, match=sentence):
        Agent(**({"name": "x", "team": "t"} | fields))


@pytest.mark.parametrize(
    "fields",
    [
        {"attempts": 0},
        {"initial_s": -1},
        {"cap_s": float("inf")},
        {"total_s": -1},
        {"factor": 0.5},
        {"factor": float("nan")},
    ],
)
def test_a_retry_that_makes_no_sense_is_refused(fields: dict[str, Any]) -> None:
    with pytest.raises(DefinitionError, match=r"Retry\(.*must be at least 1"):
        Retry(**fields)


def test_a_budget_leaves_in_whole_numbers_and_none_is_no_limit() -> None:
    assert Budget().to_core() == messages.Budget()
    made = Budget(tokens=5, usd=0.5, hops=3, wall_s=1.5, unpriced_allowed=True).to_core()
    assert made == messages.Budget(5, 500_000, 3, 1_500, True)
    with pytest.raises(DefinitionError, match="no limit may be below 0"):
        Budget(usd=-1).to_core()


def test_needs_that_are_one_string_are_not_taken_for_its_letters() -> None:
    with pytest.raises(DefinitionError, match=r"write needs=\['research'\]"):
        Step("write", needs="research")


def test_a_step_can_be_called_as_the_function_that_it_is() -> None:
    agent = Agent("x", team="t")
    definition = agent.step("research", timeout_s=5, retry=Retry(7))(research)
    assert definition.compensate(undo) is undo
    assert agent.steps == {"research": definition}
    assert (definition.timeout_s, definition.retry.attempts) == (5, 7)
    assert definition.compensation is undo


async def test_a_step_calls_its_function() -> None:
    definition = Agent("x", team="t").step("research")(research)
    assert await definition(None, Question("why")) == ["why"]


def test_types_come_from_annotations() -> None:
    agent = Agent("x", team="t")
    definition = agent.step("research")(research)
    assert definition.input.validate_python({"text": "why"}) == Question("why")
    assert definition.output.validate_python(["a"]) == ["a"]
    agent.plan(plan)
    assert agent.planners["plan"].input.validate_python({"text": "why"}) == Question("why")


# -- teams --------------------------------------------------------------------------------------


def agent(name: str, *steps: str, team: str = "t") -> Agent:
    made = Agent(name, team=team)
    for step in steps:
        made.step(step)(research)
    return made


def test_agents_are_grouped_by_team_with_their_hooks() -> None:
    planner, writer = agent("planner"), agent("writer", "write")
    planner.plan(plan)
    writer.aggregate(aggregate)
    other = agent("other", "do", team="u")
    assert teams([planner, other, writer]) == [
        Team("t", {"planner": planner, "writer": writer}, planner.planners, writer),
        Team("u", {"other": other}, {}, None),
    ]


def test_two_agents_may_not_share_a_name_even_in_two_teams() -> None:
    with pytest.raises(DefinitionError, match="two agents are called 'x'"):
        teams([agent("x"), agent("x", team="u")])


@pytest.mark.parametrize("kind", ["plan", "aggregate"])
def test_a_team_has_one_planner_and_one_aggregator(kind: str) -> None:
    agents = [agent("a"), agent("b")]
    for each in agents:
        each.plan(plan) if kind == "plan" else each.aggregate(aggregate)
    with pytest.raises(DefinitionError, match=f"team 't' has several {kind} hooks: a, b"):
        teams(agents)


def test_a_planned_step_is_found_by_name_and_by_agent_where_needed() -> None:
    (team,) = teams([agent("a", "write", "read"), agent("b", "write")])
    assert team.find(Step("read"))[0].name == "a"
    found, definition = team.find(Step("write", agent="b"))
    assert (found.name, definition) == ("b", found.steps["write"])
    with pytest.raises(DefinitionError, match=r"'write' exists on a, b: say agent=\.\.\."):
        team.find(Step("write"))
    with pytest.raises(DefinitionError, match="no agent has a step 'x' in team 't'; there are: r"):
        team.find(Step("x"))
    with pytest.raises(DefinitionError, match=r"'b' has no step 'read' in team 't'; .*: write$"):
        team.find(Step("read", agent="b"))
    with pytest.raises(DefinitionError, match=r"team 't' has no agent 'c'; there are: a, b$"):
        team.find(Step("read", agent="c"))


def limited(*limits: Limit) -> Agent:
    return Agent("x", "t", limits=limits)


def test_a_limit_is_declared_with_the_agent_and_named_by_its_steps() -> None:
    made = limited(Limit("openai", at_once=2, starts=9, per_s=60), Limit("idle", at_once=1))
    made.step("write", limit="openai")(research)
    made.step("read", limit="openai")(research)
    made.step("free")(research)
    assert made.core_limits() == (shares.Limit("openai", ("write", "read"), 2, 9, 60_000),)
    with pytest.raises(DefinitionError, match="step 'y': agent 'x' has no limit 'nobody'"):
        made.step("y", limit="nobody")


@pytest.mark.parametrize(
    "limit",
    [
        Limit("a"),
        Limit("A b", at_once=1),
        Limit("a", at_once=0),
        Limit("a", at_once=-1),
        Limit("a", starts=1),
        Limit("a", per_s=1),
        Limit("a", starts=20_000, per_s=1),
        Limit("a", starts=1, per_s=1e6),
    ],
)
def test_what_is_no_limit_is_told_where_it_is_declared(limit: Limit) -> None:
    with pytest.raises(DefinitionError, match="a limit has a name like an agent's, and at_once"):
        limited(limit)


def test_limits_have_names_of_their_own() -> None:
    with pytest.raises(DefinitionError, match="each a name of its own"):
        limited(Limit("a", at_once=1), Limit("a", at_once=2))
