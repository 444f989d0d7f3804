"""A step fails for good, and what was done is undone: the trip of `examples/trip.py`, in tests."""

from __future__ import annotations

from folkmoot import Agent, LeaderContext, Permanent, Retry, Step, StepContext
from folkmoot.testing import TestMesh, simulated


class Travel:
    """The agent under test, and the world that it changes."""

    def __init__(self) -> None:
        self.booked: list[str] = []
        self.agent = Agent("travel", team="trips")
        self.agent.plan(self.plan)
        self.agent.step("flight", retry=Retry(3))(self.flight).compensate(self.cancel_flight)
        self.agent.step("hotel")(self.hotel).compensate(self.cancel_hotel)
        self.agent.step("table")(self.table)

    async def plan(self, ctx: LeaderContext, city: str) -> list[Step]:
        """A flight, then a hotel, then a table."""
        return [
            Step("flight", city),
            Step("hotel", city, needs=["flight"]),
            Step("table", city, needs=["hotel"]),
        ]

    async def flight(self, ctx: StepContext, city: str) -> str:
        """Book a flight."""
        self.booked.append("flight")
        return f"a flight to {city}"

    async def cancel_flight(self, ctx: StepContext, city: str, done: str | None) -> None:
        """Cancel it."""
        self.booked.remove("flight")

    async def hotel(self, ctx: StepContext, city: str) -> str:
        """Book a hotel."""
        self.booked.append("hotel")
        return f"a hotel in {city}"

    async def cancel_hotel(self, ctx: StepContext, city: str, done: str | None) -> None:
        """Cancel it."""
        self.booked.remove("hotel")

    async def table(self, ctx: StepContext, city: str) -> str:
        """Book a table."""
        return "a table"


@simulated
async def test_all_goes_well() -> None:
    """Three steps, one after the other."""
    travel = Travel()
    async with TestMesh(travel.agent) as mesh:
        saga = await mesh.submit("trips", "Oslo")
        results = await saga.result(dict[str, str])
        history = mesh.history(saga)
    assert results["hotel"] == "a hotel in Oslo"
    history.assert_succeeded("flight", "hotel", "table")


@simulated
async def test_what_was_booked_is_cancelled_in_reverse() -> None:
    """There is no table to be had, so nobody goes to Oslo."""
    travel = Travel()
    async with TestMesh(travel.agent) as mesh:
        mesh.fail("table", Permanent("no table is free"))
        saga = await mesh.submit("trips", "Oslo")
        ended = await saga.outcome()
        history = mesh.history(saga)
    assert (ended.state, ended.failed_step) == ("compensated", "table")
    history.assert_compensated("hotel", "flight")
    assert travel.booked == []


@simulated
async def test_a_cancellation_that_fails_is_tried_again() -> None:
    """The hotel does not answer at first; the flight is only cancelled after it."""
    travel = Travel()
    async with TestMesh(travel.agent) as mesh:
        mesh.fail("table", Permanent("no table is free"))
        mesh.fail("hotel", times=3, undo=True)
        saga = await mesh.submit("trips", "Oslo")
        await saga.outcome()
        history = mesh.history(saga)
    history.assert_attempts("hotel", 4, undo=True)
    history.assert_compensated("hotel", "flight")
