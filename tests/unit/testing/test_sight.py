"""Users find sagas, and see why they are where they are: on the real services."""

from __future__ import annotations

import asyncio
from typing import Any

import orjson
import pytest

from folkmoot import Agent, Retry, Step, StepContext
from folkmoot.runtime.service import QueryError
from folkmoot.sdk.listing import Filter
from folkmoot.sdk.queries import ask
from folkmoot.testing import TestMesh, simulated

DAY_S = 24 * 3600


def shop() -> Agent:
    agent = Agent("clerk", team="shop")

    @agent.step("pack", retry=Retry(9, initial_s=DAY_S, cap_s=DAY_S))
    async def pack(ctx: StepContext, what: str) -> str:
        if what == "glass":
            raise RuntimeError("it broke")
        return what

    @agent.step("send")
    async def send(ctx: StepContext, what: str) -> bool:
        if what == "gold":
            return await ctx.ask_human("Really?", bool, deadline_s=DAY_S)
        return True

    agent.saga([Step("pack"), Step("send", needs=["pack"])])
    return agent


@simulated
async def test_sagas_are_found_by_what_they_are_and_wait_for() -> None:
    async with TestMesh(shop()) as mesh:
        made = {what: await mesh.submit("shop", what) for what in ("glass", "gold", "book", "pen")}
        await made["book"].result()
        await made["pen"].result()
        await mesh.until(lambda: mesh.history(made["gold"]).of("question-asked"))
        await mesh.until(lambda: mesh.history(made["glass"]).of("step-retry-scheduled"))

        async def found(**wanted: Any) -> set[str]:
            page = await mesh.client.sagas(Filter(**wanted))
            ids = {saga.saga_id: what for what, saga in made.items()}
            assert page.following is None
            return {ids[saga["saga_id"]] for saga in page.sagas}

        assert await found() == set(made)
        assert await found(state="completed") == {"book", "pen"}
        assert await found(retrying="*") == await found(retrying="pack") == {"glass"}
        assert await found(retrying="send") == set()
        assert await found(waiting_on="person") == {"gold"}
        assert await found(text="GLASS") == {"glass"}
        assert await found(team="shop", state="running") == {"glass", "gold"}
        assert await found(opened_before=mesh.now - 600_000) == set()
        assert "is tried again in" in await made["glass"].explain()
        assert "Step send asks somebody" in await made["gold"].explain()
        assert (await made["pen"].explain()).startswith("It completed")


@simulated
async def test_pages_go_on_where_the_one_before_ended() -> None:
    async with TestMesh(shop()) as mesh:
        made = [await mesh.submit("shop", "pen") for _ in range(7)]
        for saga in made:
            await saga.result()
        seen: list[str] = []
        page = await mesh.client.sagas(limit=3)
        assert page.as_of["folkmoot.saga-orchestrator.log/0"] > 0
        while True:
            seen += [saga["saga_id"] for saga in page.sagas]
            if page.following is None:
                break
            page = await mesh.client.sagas(limit=3, after=page.following)
        assert sorted(seen) == sorted(saga.saga_id for saga in made)


def _state_of(step_id: str, shown: Any) -> str:
    return next(str(step["state"]) for step in shown["steps"] if step["id"] == step_id)


@simulated
async def test_a_saga_is_seen_as_it_was() -> None:
    async with TestMesh(shop()) as mesh:
        saga = await mesh.submit("shop", "pen")
        await saga.result()
        await asyncio.sleep(1)
        events = mesh.history(saga).of()
        own = [e.type for e in events if e.log == "folkmoot.saga-orchestrator.log"]
        packed = own.index("step-succeeded", own.index("plan-recorded")) + 1
        before = await saga.state(at=packed - 1)
        after = await saga.state(at=packed)
        assert (_state_of("pack", before), _state_of("pack", after)) == ("running", "succeeded")
        last = await saga.state(at=len(own))
        assert last == await saga.state()


@simulated
async def test_a_question_that_makes_no_sense_is_refused() -> None:
    async with TestMesh(shop()) as mesh:
        for request in ({"op": "list", "limit": 0}, {"op": "list", "colour": "red"}, {"op": "lst"}):
            with pytest.raises(QueryError):
                await ask(mesh.client.bus, "saga-orchestrator", 0, request)
        assert orjson.dumps(await ask(mesh.client.bus, "saga-orchestrator", 0, {"op": "list"}))
