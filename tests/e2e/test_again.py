"""A saga once more: forked from where it was, and replayed by today's code, as a user does it."""

from __future__ import annotations

import json
import textwrap
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from desk import Desk

from folkmoot import (
    Agent,
    CannotFork,
    Client,
    LeaderContext,
    Permanent,
    SagaFailed,
    Step,
    StepContext,
)
from folkmoot.mesh import Mesh

agent = Agent("travel", team="trips")
did: list[str] = []


async def act(what: str) -> str:
    did.append(what)
    return what


@agent.step("flight")
async def flight(ctx: StepContext, city: str) -> str:
    """Book a flight."""
    return str(await ctx.call("book", act, f"fly to {city}"))


@flight.compensate
async def fly_not(ctx: StepContext, city: str, done: str | None) -> None:
    """Cancel it."""
    await ctx.call("cancel", act, f"no flight to {city}")


@agent.step("hotel")
async def hotel(ctx: StepContext, city: str) -> str:
    """Book a hotel, if there is one."""
    if city == "nowhere":
        raise Permanent("no hotel is there")
    return str(await ctx.call("book", act, f"sleep in {city}"))


@agent.plan
async def plan(ctx: LeaderContext, city: str) -> list[Step]:
    """A flight, then a hotel that cannot be had."""
    return [Step("flight", city), Step("hotel", "nowhere", needs=["flight"])]


@agent.saga(name="refund")
def refund(city: str) -> list[Step]:
    """Only a flight."""
    return [Step("flight", city)]


@pytest.fixture
async def desk(tmp_path: Path) -> AsyncIterator[Desk]:
    did.clear()
    async with (
        Mesh.start(f"embedded:{tmp_path}/log.db", [agent], ("one",)) as mesh,
        Client.on(mesh.bus) as client,
    ):
        yield Desk(client, tmp_path)


async def failed_trip(desk: Desk) -> tuple[Any, int]:
    """Return a saga that was undone, and how many events it had when its flight was booked."""
    saga = await desk.client.submit("trips", "Oslo")
    with pytest.raises(SagaFailed, match="no hotel is there"):
        await saga.result(timeout_s=30)
    names = [event["type"] async for event in saga.events()]
    succeeded = [n for n, name in enumerate(names, 1) if "step-succeeded" in name]
    return saga, succeeded[1] + 1


async def test_a_fork_goes_on_with_what_was_done(desk: Desk) -> None:
    saga, at = await failed_trip(desk)
    assert did == ["fly to Oslo", "no flight to Oslo"]
    patch = {"steps": {"hotel": {"input": "Bergen"}}}
    fork = await saga.fork(at, patch)
    assert await fork.result(timeout_s=30) == {"flight": "fly to Oslo", "hotel": "sleep in Bergen"}
    assert did[2:] == ["sleep in Bergen"]
    assert fork.saga_id != saga.saga_id
    shown = await fork.state()
    assert shown["forked_from"] == {"saga_id": saga.saga_id, "at": at}
    events = [event async for event in saga.events()]
    with pytest.raises(CannotFork, match="had ended by event"):
        await saga.fork(len(events))


async def test_a_fork_that_fails_does_not_undo_what_the_other_did(desk: Desk) -> None:
    saga, at = await failed_trip(desk)
    fork = await saga.fork(at)
    with pytest.raises(SagaFailed, match="no hotel is there"):
        await fork.result(timeout_s=30)
    assert did == ["fly to Oslo", "no flight to Oslo"]


async def test_the_command_forks_and_says_what_came_of_it(desk: Desk) -> None:
    saga, at = await failed_trip(desk)
    (desk.folder / "patch.json").write_text('{"steps": {"hotel": {"input": "Bergen"}}}')
    options = ("sagas", "fork", saga.saga_id, "--at", f"{at}", "--key", "again")
    status, printed, complaints = await desk.command(*options, "--patch", "patch.json", "--json")
    assert (status, complaints) == (0, "")
    told = json.loads(printed)
    assert told["result"]["hotel"] == "sleep in Bergen"
    status, printed, _ = await desk.command("sagas", "history", told["saga_id"])
    assert f"from saga {saga.saga_id} as it was after event {at}" in " ".join(printed.split())
    status, _, complaints = await desk.command("sagas", "fork", saga.saga_id, "--at", "1000")
    assert status == 1
    (desk.folder / "patch.json").write_text("[]")
    status, _, complaints = await desk.command(*options, "--patch", "patch.json")
    assert (status, "no JSON object" in complaints) == (2, True)


CODE = """
    from folkmoot import Agent, Permanent, Step

    agent = Agent("travel", team="trips")

    async def act(what: str) -> str:
        raise AssertionError("nothing may be done to the world")

    @agent.step("flight")
    async def flight(ctx: object, city: str) -> str:
        return str(await ctx.call("book", act, f"fly to {city}"))

    @flight.compensate
    async def fly_not(ctx: object, city: str, done: str | None) -> None:
        await ctx.call("cancel", act, city)

    @agent.step("hotel")
    async def hotel(ctx: object, city: str) -> str:
        HOTEL

    @agent.plan
    async def plan(ctx: object, city: str) -> list[Step]:
        return [Step("flight", city), Step("hotel", "nowhere", needs=["flight"])]

    @agent.saga(name="refund")
    def refund(city: str) -> list[Step]:
        return [Step("flight", city)]
"""


def write_code(folder: Path, name: str, hotel: str) -> None:
    (folder / f"{name}.py").write_text(textwrap.dedent(CODE).replace("HOTEL", hotel))


async def test_today_s_code_is_compared_with_what_was_recorded(desk: Desk) -> None:
    write_code(desk.folder, "same", 'raise Permanent("no hotel is there")')
    write_code(desk.folder, "other", 'return await ctx.call("look", act, city)')
    saga, at = await failed_trip(desk)
    replay = ("sagas", "replay", saga.saga_id, "--json", "--app")
    assert await desk.command(*replay, "same:agent") == (0, "[]\n", "")
    status, printed, _ = await desk.command("sagas", "history", saga.saga_id, "--work", "--json")
    (desk.folder / "saga.json").write_text(printed)
    assert status == 0
    from_file = ("sagas", "replay", "saga.json", "--json", "--app")
    assert await desk.command(*from_file, "same:agent") == (0, "[]\n", "")
    fork = await saga.fork(at)
    await fork.outcome(timeout_s=30)
    of_fork = ("sagas", "replay", fork.saga_id, "--json", "--app")
    assert await desk.command(*of_fork, "same:agent") == (0, "[]\n", "")


async def test_what_differs_is_told_and_fails_the_build(desk: Desk) -> None:
    write_code(desk.folder, "other", "return city")
    saga = await desk.client.submit("trips", "Oslo", definition="refund")
    await saga.result(timeout_s=30)
    (desk.folder / "other.py").write_text(
        (desk.folder / "other.py").read_text().replace("return str(", "return 'today ' + str(")
    )
    replay = ("sagas", "replay", saga.saga_id, "--app", "other:agent")
    status, printed, _ = await desk.command(*replay, "--json")
    assert status == 1
    assert {each["where"] for each in json.loads(printed)} == {"result", "result of flight"}
    _, printed, _ = await desk.command(*replay)
    assert "result of flight" in printed
    assert "today fly to Oslo" in printed


async def test_what_cannot_be_replayed_gets_a_sentence(desk: Desk) -> None:
    write_code(desk.folder, "same", "return city")
    (desk.folder / "bad.json").write_text('[{"at": 1}]')
    status, _, complaints = await desk.command("sagas", "replay", "bad.json", "--app", "same:agent")
    assert (status, "is no history" in complaints) == (2, True)
    status, _, complaints = await desk.command("sagas", "replay", "x", "--app", "gone:agent")
    assert (status, "cannot import" in complaints) == (2, True)
    status, _, complaints = await desk.command("sagas", "replay", "x", "--app", "same:agent")
    assert (status, "there is no saga x" in complaints) == (1, True)
