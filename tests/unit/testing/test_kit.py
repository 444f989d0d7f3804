"""The users' test kit: it runs the real mesh, lets go wrong what it is told to, and skips time."""

from __future__ import annotations

import asyncio
import subprocess
import sys
import time
from typing import Any

import pytest

from folkmoot import Agent, DefinitionError, Permanent, Retry, Step, StepContext
from folkmoot.testing import NotSimulated, ScriptedFailure, TestMesh, simulate, simulated
from folkmoot.testing.virtual_time import Stuck

DAY_S = 24 * 3600


class Travel:
    """An agent that books, and what is booked."""

    def __init__(self, retry: Retry = Retry(3)) -> None:  # noqa: B008
        self.agent = Agent("travel", team="trips", partitions=2)
        self.booked: list[str] = []
        self.calls: list[str] = []
        self.agent.saga(
            [Step("flight"), Step("hotel", needs=["flight"]), Step("table", needs=["hotel"])]
        )
        for name in ("flight", "hotel", "table"):
            self._offer(name, retry)

    def _offer(self, name: str, retry: Retry) -> None:
        async def effect() -> str:
            self.calls.append(name)
            self.booked.append(name)
            return f"confirmed {name}"

        async def book(ctx: StepContext, city: str) -> str:
            return str(await ctx.call("book", effect))

        async def cancel(ctx: StepContext, city: str, done: str | None) -> None:
            if name in self.booked:
                self.booked.remove(name)

        self.agent.step(name, timeout_s=20, retry=retry)(book).compensate(cancel)


@simulated
async def test_a_saga_runs_and_its_history_can_be_asked() -> None:
    travel = Travel()
    async with TestMesh(travel.agent) as mesh:
        saga = await mesh.submit("trips", "Oslo")
        assert await saga.result() == {n: f"confirmed {n}" for n in ("flight", "hotel", "table")}
        history = mesh.history(saga)
    history.assert_ended("completed")
    history.assert_succeeded("flight", "hotel", "table")
    history.assert_attempts("hotel", 1)
    history.assert_runs("hotel", 1)


@simulated
async def test_what_fails_for_good_is_undone_in_reverse() -> None:
    travel = Travel()
    async with TestMesh(travel.agent) as mesh:
        mesh.fail("table", Permanent("no table is free"))
        saga = await mesh.submit("trips", "Oslo")
        ended = await saga.outcome()
        history = mesh.history(saga)
    assert (ended.state, ended.failed_step) == ("compensated", "table")
    history.assert_compensated("table", "hotel", "flight")
    history.assert_compensated()
    assert travel.booked == []


@simulated
async def test_a_step_fails_as_often_as_it_is_told_to() -> None:
    travel = Travel()
    async with TestMesh(travel.agent) as mesh:
        mesh.fail("hotel", times=2)
        saga = await mesh.submit("trips", "Oslo")
        await saga.result()
        history = mesh.history(saga)
    history.assert_attempts("hotel", 3)
    (failed, _) = history.of("step-retry-scheduled")
    assert failed.data["failure"]["kind"] == ScriptedFailure.__name__
    assert travel.calls == ["flight", "hotel", "table"]


@simulated
async def test_a_step_that_hangs_times_out_and_is_tried_again() -> None:
    travel = Travel()
    async with TestMesh(travel.agent) as mesh:
        mesh.hang("hotel", after=True)
        saga = await mesh.submit("trips", "Oslo")
        await saga.result()
        history = mesh.history(saga)
    history.assert_attempts("hotel", 2)
    assert history.of("step-retry-scheduled")[0].data["failure"]["kind"] == "timed-out"


@simulated
async def test_another_member_goes_on_when_one_is_killed() -> None:
    travel = Travel()
    async with TestMesh(travel.agent) as mesh:
        mesh.kill(during="hotel", after=True)
        saga = await mesh.submit("trips", "Oslo")
        await saga.result()
        history = mesh.history(saga)
    history.assert_runs("hotel", 2)
    history.assert_attempts("hotel", 1)
    assert travel.calls == ["flight", "hotel", "table"], "a journaled call was repeated"
    members = {event.data["member"] for event in history.of("call-started", step_id="hotel")}
    assert len(members) == 2


@simulated
async def test_a_named_member_is_killed_when_it_leads() -> None:
    travel = Travel()
    async with TestMesh(travel.agent) as mesh:
        leader = mesh.leader("trips")
        mesh.kill(leader, during="plan")
        saga = await mesh.submit("trips", "Oslo")
        await saga.result()
        assert mesh.leader("trips") != leader
        mesh.restart(leader)


@pytest.mark.parametrize(
    "service", ["election", "event-store", "saga-orchestrator", "breaker-proxy"]
)
def test_any_service_may_be_killed(service: str) -> None:
    travel = Travel()

    async def scenario() -> None:
        async with TestMesh(travel.agent) as mesh:
            mesh.hang("hotel")
            saga = await mesh.submit("trips", "Oslo")
            await mesh.until(lambda: mesh.history(saga).runs("hotel"))
            mesh.kill(service, restart_s=2)
            await saga.result()
            mesh.history(saga).assert_attempts("hotel", 2)

    simulate(scenario())


@simulated
async def test_a_member_that_is_cut_off_is_replaced_and_comes_back() -> None:
    travel = Travel()
    async with TestMesh(travel.agent) as mesh:
        await (await mesh.submit("trips", "Oslo")).result()
        mesh.partition("worker-1")
        saga = await mesh.submit("trips", "Oslo")
        await saga.result()
        runs = mesh.history(saga).of("call-started")
        assert {event.data["member"] for event in runs} == {"worker-2.1"}
        mesh.heal()


def test_a_day_takes_no_time() -> None:
    travel = Travel(Retry(3, initial_s=DAY_S, cap_s=DAY_S))

    async def scenario() -> float:
        async with TestMesh(travel.agent) as mesh:
            mesh.fail("hotel", times=2)
            saga = await mesh.submit("trips", "Oslo")
            before, began = mesh.now, time.perf_counter()
            await saga.result()
            history = mesh.history(saga)
            assert mesh.now - before > sum(history.waits_s("hotel")) * 1000
            assert len(history.waits_s("hotel")) == 2
            assert len({event.data["member"] for event in history.of("call-started")}) <= 2
            return time.perf_counter() - began

    assert simulate(scenario()) < 5


@simulated
async def test_a_test_may_sleep_for_a_day_and_nothing_is_lost() -> None:
    travel = Travel()
    async with TestMesh(travel.agent) as mesh:
        led = mesh.leader("trips")
        before = mesh.now
        await asyncio.sleep(DAY_S)
        assert mesh.now - before == DAY_S * 1000
        saga = await mesh.submit("trips", "Oslo")
        await saga.result()
        assert mesh.leader("trips") == led


def an_agent_that_asks(deadline_s: float = DAY_S) -> Agent:
    agent = Agent("clerk", team="office")

    @agent.step("buy", timeout_s=20)
    async def buy(ctx: StepContext, what: str) -> bool:
        return await ctx.ask_human(f"Buy {what}?", bool, deadline_s=deadline_s)

    return agent


@simulated
async def test_a_question_is_answered_a_day_later() -> None:
    async with TestMesh(an_agent_that_asks(2 * DAY_S)) as mesh:
        saga = await mesh.submit("office", "a boat")
        await asyncio.sleep(DAY_S)
        (question,) = (await saga.state())["questions"]
        mesh.kill("worker-1", restart_s=1)
        await saga.answer(question["id"], "anna", value=True)
        assert await saga.result(bool)


@simulated
async def test_a_question_that_nobody_answers_fails_on_the_day() -> None:
    async with TestMesh(an_agent_that_asks()) as mesh:
        began = mesh.now
        saga = await mesh.submit("office", "a boat")
        assert (await saga.outcome()).state == "compensated"
        assert DAY_S <= (mesh.now - began) / 1000 < DAY_S + 10


@simulated
async def test_handlers_take_the_time_they_say_and_threads_take_none() -> None:
    agent = Agent("mill", team="mill")

    def grind(grain: str) -> str:
        return grain[::-1]

    @agent.step("grind", timeout_s=3 * DAY_S)
    async def step(ctx: StepContext, grain: str) -> str:
        await asyncio.sleep(DAY_S)
        flour = str(await ctx.call("grind", grind, grain))
        await asyncio.sleep(0.3)
        return flour

    async with TestMesh(agent) as mesh:
        began = mesh.now
        saga = await mesh.submit("mill", "rye")
        assert await saga.result() == "eyr"
        assert DAY_S + 0.3 <= (mesh.now - began) / 1000 < DAY_S + 1


def test_the_same_seed_is_the_same_run_and_another_is_not() -> None:
    async def story(seed: int) -> list[object]:
        travel = Travel()
        async with TestMesh(travel.agent, seed=seed) as mesh:
            mesh.kill(during="hotel", restart_s=1)
            saga = await mesh.submit("trips", "Oslo")
            await saga.result()
            return list(mesh.history(saga).events)

    assert simulate(story(1)) == simulate(story(1)) != simulate(story(2))


def test_a_test_in_which_nothing_will_ever_happen_says_so() -> None:
    async def scenario() -> None:
        async with TestMesh(an_agent_that_asks()) as mesh:
            saga = await mesh.submit("office", "a boat")
            await saga.pause("anna")
            await saga.result()

    with pytest.raises(Stuck, match=r"nothing will ever happen: saga .* is running"):
        simulate(scenario())


def test_a_test_without_end_says_so() -> None:
    async def scenario() -> None:
        async with TestMesh(Travel().agent, members=1, leaps_max=9) as mesh:
            mesh.kill("worker-1", during="hotel")
            saga = await mesh.submit("trips", "Oslo")
            await saga.result()

    with pytest.raises(Stuck, match=r"goes on for ever.*: saga .* is compensating"):
        simulate(scenario())


async def test_it_needs_virtual_time_and_says_so() -> None:
    with pytest.raises(NotSimulated, match="decorate the test with @simulated"):
        async with TestMesh(Travel().agent):
            pass


@pytest.mark.parametrize(
    ("go_wrong", "said"),
    [
        (lambda mesh: mesh.fail("tabel"), "no agent has a step 'tabel'; there are: .*table"),
        (lambda mesh: mesh.kill("worker-9"), "no process 'worker-9'; there are: .*worker-1"),
    ],
)
def test_a_slip_of_the_test_is_told(go_wrong: Any, said: str) -> None:
    async def scenario() -> None:
        async with TestMesh(Travel().agent) as mesh:
            go_wrong(mesh)

    with pytest.raises(AssertionError, match=said):
        simulate(scenario())


def test_agents_that_contradict_each_other_are_refused_where_the_mesh_begins() -> None:
    async def scenario() -> None:
        async with TestMesh(Travel().agent, Travel().agent):
            pass

    with pytest.raises(DefinitionError, match="two agents are called 'travel'"):
        simulate(scenario())


@simulated
async def test_an_assertion_that_fails_tells_the_story() -> None:
    travel = Travel()
    async with TestMesh(travel.agent) as mesh:
        mesh.fail("table", Permanent("no table is free"))
        saga = await mesh.submit("trips", "Oslo")
        await saga.outcome()
        history = mesh.history(saga)
    for check, *wrong in (
        (history.assert_ended, "completed"),
        (history.assert_succeeded, "hotel", "flight"),
        (history.assert_order, "hotel", "flight"),
        (history.assert_compensated, "flight", "hotel"),
        (history.assert_attempts, "table", 2),
        (history.assert_runs, "table", 2),
    ):
        with pytest.raises(AssertionError, match="it turns back: no table is free"):
            check(*wrong)


def test_it_needs_no_pytest() -> None:
    check = "import sys; from folkmoot.testing import TestMesh; assert 'pytest' not in sys.modules"
    subprocess.run([sys.executable, "-W", "error", "-c", check], check=True)


@simulated
async def test_agents_are_left_as_they_are() -> None:
    travel = Travel()
    handlers = [step.handler for step in travel.agent.steps.values()]
    async with TestMesh(travel.agent):
        assert [step.handler for step in travel.agent.steps.values()] == handlers
