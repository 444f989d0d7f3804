"""A saga that is undone: a trip is booked step by step, and the last step fails for good.

Run it with `python examples/trip.py`. The flight and the hotel are cancelled again, the hotel
first, because it needed the flight.
"""

from __future__ import annotations

import asyncio
import tempfile

from pydantic import BaseModel

from folkmoot import Agent, Client, LeaderContext, Permanent, Retry, SagaFailed, Step, StepContext
from folkmoot.mesh import Mesh

agent = Agent("travel", team="trips")
booked: list[str] = []


class Trip(BaseModel):
    """Where to."""

    city: str


@agent.plan
async def plan(ctx: LeaderContext, trip: Trip) -> list[Step]:
    """A flight, then a hotel, then a table."""
    return [
        Step("flight", trip),
        Step("hotel", trip, needs=["flight"]),
        Step("table", trip, needs=["hotel"]),
    ]


async def book(what: str) -> str:
    """Stand in for somebody else's API."""
    booked.append(what)
    return f"confirmation of {what}"


@agent.step("flight", timeout_s=10, retry=Retry(3))
async def flight(ctx: StepContext, trip: Trip) -> str:
    """Book a flight, once, even if this runs again after a crash."""
    return str(await ctx.call("book", book, f"flight to {trip.city}"))


@flight.compensate
async def cancel_flight(ctx: StepContext, trip: Trip, confirmation: str | None) -> None:
    """Cancel it."""
    booked.remove(f"flight to {trip.city}")


@agent.step("hotel")
async def hotel(ctx: StepContext, trip: Trip) -> str:
    """Book a hotel."""
    return str(await ctx.call("book", book, f"hotel in {trip.city}"))


@hotel.compensate
async def cancel_hotel(ctx: StepContext, trip: Trip, confirmation: str | None) -> None:
    """Cancel it."""
    booked.remove(f"hotel in {trip.city}")


@agent.step("table")
async def table(ctx: StepContext, trip: Trip) -> str:
    """There is no table to be had."""
    raise Permanent(f"no table is free in {trip.city}")


async def main() -> tuple[str, list[str]]:
    """Book a trip, and return how it ended and what is booked after that."""
    with tempfile.TemporaryDirectory() as folder:
        async with (
            Mesh.start(f"embedded:{folder}/trip.db", [agent]) as mesh,
            Client.on(mesh.bus) as client,
        ):
            saga = await client.submit("trips", Trip(city="Oslo"))
            try:
                await saga.result(timeout_s=30)
            except SagaFailed as failed:
                undone = (await saga.state())["compensations"]
                print(f"{failed}\nundone, in this order: {', '.join(undone)}")
                return failed.state, list(booked)
    return "completed", list(booked)


if __name__ == "__main__":
    asyncio.run(main())
