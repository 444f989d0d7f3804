"""A saga whose steps are sagas of another team: booked as a whole, and undone as a whole."""

from __future__ import annotations

from pathlib import Path

import pytest

from folkmoot import Agent, Client, LeaderContext, Permanent, SagaFailed, Step, StepContext, SubSaga
from folkmoot.mesh import Mesh

travel = Agent("agency", team="travel")
bank = Agent("cashier", team="bank")
booked: list[str] = []


@travel.step("book")
async def book(ctx: StepContext, what: str) -> str:
    """Book a part of a trip."""
    booked.append(what)
    return what


@book.compensate
async def give_back(ctx: StepContext, what: str, done: str | None) -> None:
    """Give it back."""
    booked.remove(what)


@travel.saga(name="trip")
def trip(to: str) -> list[Step]:
    """Fly, and sleep."""
    flight = Step("book", f"flight to {to}", id="flight")
    return [flight, Step("book", f"bed in {to}", id="hotel", needs=["flight"])]


@bank.step("pay")
async def pay(ctx: StepContext, euros: int) -> int:
    """Pay, if it can be afforded."""
    if euros > 100:
        raise Permanent("too dear")
    return euros


@bank.plan
async def plan(ctx: LeaderContext, euros: int) -> list[Step]:
    """Book two trips side by side, then pay for both."""
    trips: list[Step] = [SubSaga("trip", to, id=to, team="travel") for to in ("Oslo", "Rome")]
    return [*trips, Step("pay", euros, needs=["Oslo", "Rome"])]


async def test_a_saga_of_sagas_is_finished_or_undone_as_a_whole(tmp_path: Path) -> None:
    async with (
        Mesh.start(f"embedded:{tmp_path}/log.db", [travel, bank]) as mesh,
        Client.on(mesh.bus) as client,
    ):
        dear = await client.submit("bank", 700)
        with pytest.raises(SagaFailed, match="too dear"):
            await dear.result(timeout_s=30)
        assert booked == []
        cheap = await client.submit("bank", 70)
        result = await cheap.result(timeout_s=30)
        assert result["Oslo"] == {"flight": "flight to Oslo", "hotel": "bed in Oslo"}
        assert len(booked) == 4
        shown = await cheap.state()
        children = {step["id"]: step["child"] for step in shown["steps"] if step["child"]}
        assert set(children) == {"Oslo", "Rome"}
        child = await client.saga(children["Oslo"])
        assert (await child.result(timeout_s=30)) == result["Oslo"]
