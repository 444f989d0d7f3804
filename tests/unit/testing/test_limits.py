"""An agent's limits hold for the whole mesh: what its handlers see, and what users are told."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from folkmoot import Agent, Limit, Step, StepContext, SubSaga
from folkmoot.testing import TestMesh, simulated


@dataclass
class Api:
    """Something outside that counts who is in it; and when they came."""

    inside: set[tuple[str, str]] = field(default_factory=set)
    most: int = 0
    came_at: list[int] = field(default_factory=list)
    now: Callable[[], int] = lambda: 0

    async def serve(self, ctx: StepContext, took_s: float) -> None:
        place = (ctx.saga_id, ctx.step_id)
        self.inside.add(place)
        self.most = max(self.most, len(self.inside))
        self.came_at.append(self.now())
        try:
            await asyncio.sleep(took_s)
        finally:
            self.inside.discard(place)


def office(api: Api, limit: Limit, count: int = 6) -> Agent:
    agent = Agent("clerk", team="office", concurrency=9, limits=[limit])

    @agent.step("ask", limit="openai", timeout_s=600)
    async def ask(ctx: StepContext, number: int) -> int:
        await api.serve(ctx, 2)
        return number

    @agent.step("note")
    async def note(ctx: StepContext, number: int) -> int:
        return number

    @agent.saga
    def plan(task: int) -> Sequence[Step]:
        asks = [Step("ask", number, id=f"ask-{number}") for number in range(task)]
        return [*asks, Step("note", 0)]

    return agent


@simulated
async def test_no_more_handlers_run_at_a_time_than_may() -> None:
    api = Api()
    async with TestMesh(office(api, Limit("openai", at_once=2))) as mesh:
        saga = await mesh.submit("office", 6)
        await mesh.until(lambda: len(api.inside) == 2)
        said = await saga.explain()
        assert "No worker has it yet: it waits for limit openai: 2 of 2 are at work" in said or (
            "is with clerk" in said
        )
        await saga.result()
        assert api.most == 2
        assert len(api.came_at) == 6
        done = [each.data["step_id"] for each in mesh.history(saga).of("step-succeeded")]
        assert done[:2] == ["plan", "note"], "what has no limit is not held up"


@simulated
async def test_a_limit_holds_when_another_breaker_takes_over() -> None:
    api = Api()
    async with TestMesh(office(api, Limit("openai", at_once=2)), replicas=2) as mesh:
        saga = await mesh.submit("office", 6)
        await mesh.until(lambda: len(api.inside) == 2)
        mesh.kill("breaker-proxy-1")
        await saga.result()
        assert api.most == 2
        assert len(api.came_at) == 6


@simulated
async def test_no_more_begin_in_a_period_than_may() -> None:
    api = Api()
    async with TestMesh(office(api, Limit("openai", starts=2, per_s=30))) as mesh:
        api.now = lambda: mesh.now
        saga = await mesh.submit("office", 5)
        await saga.result()
        spans = [b - a for a, b in zip(api.came_at, api.came_at[2:], strict=False)]
        assert len(spans) == 3
        assert min(spans) > 29_500, "the way to a worker differs by some milliseconds"


@simulated
async def test_a_saga_that_is_paused_holds_up_what_runs_below_it() -> None:
    api = Api()
    agent = office(api, Limit("openai", at_once=9))
    agent.saga(
        [Step("note", 0, id="first"), SubSaga("plan", 2, id="below", needs=["first"])], name="above"
    )
    async with TestMesh(agent) as mesh:
        saga = await mesh.client.submit("office", 0, definition="above")
        await mesh.until(lambda: len(api.inside) == 2)
        await saga.pause("ann")
        await asyncio.sleep(3_600)
        assert not mesh.history(saga).of("saga-completed")
        (child,) = {
            step["child"] for step in (await saga.state())["steps"] if step["child"] is not None
        }
        below = await mesh.client.saga(child)
        assert (await below.state())["state"] == "paused"
        assert f"It is paused with saga {saga.saga_id} by ann" in await below.explain()
        await saga.resume("ann")
        await saga.result()
