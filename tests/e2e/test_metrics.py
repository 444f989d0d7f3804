"""What the services of a mesh tell when they are scraped, against what they declare and did."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping
from pathlib import Path

import pytest
from prometheus_client import CollectorRegistry
from prometheus_client.core import Metric

from folkmoot import Agent, Client, LeaderContext, Permanent, SagaFailed, Step, StepContext
from folkmoot.contracts.metrics import BY_NAME, REGISTRY
from folkmoot.mesh import Mesh
from folkmoot.runtime.metrics import registry
from folkmoot.testing.eventually import eventually

app = Agent("clerk", team="office")
gate = asyncio.Event()


@app.step("file")
async def file(ctx: StepContext, paper: str) -> str:
    """File something."""
    await ctx.knowledge.set("files").add(paper)
    if paper == "waiting":
        await gate.wait()
    if paper == "torn":
        raise Permanent("it is torn")
    return paper


@file.compensate
async def unfile(ctx: StepContext, paper: str, done: str | None) -> None:
    """Take it out again."""


@app.plan
async def plan(ctx: LeaderContext, paper: str) -> list[Step]:
    """File something, and then the paper."""
    return [Step("file", "first", id="first"), Step("file", paper, id="then", needs=["first"])]


@pytest.fixture
async def mesh(tmp_path: Path) -> AsyncIterator[Mesh]:
    async with Mesh.start(f"embedded:{tmp_path}/log.db", [app], ("a",)) as mesh:
        yield mesh


def registries(mesh: Mesh) -> Mapping[str, CollectorRegistry]:
    services = [*mesh.services.values(), mesh.members["a"].service]
    return {service.name: registry(service) for service in services}


def total(scraped: CollectorRegistry, name: str, **labels: str) -> float:
    return sum(
        sample.value
        for family in scraped.collect()
        for sample in family.samples
        if sample.name == f"folkmoot_{name}" and labels.items() <= sample.labels.items()
    )


async def test_each_service_tells_what_it_declares_and_nothing_else(mesh: Mesh) -> None:
    scraped = registries(mesh)
    declared = {name: _declared(name) for name in scraped}
    # told only once there is something to tell of
    later = {"folkmoot_snapshot_age_seconds", "folkmoot_snapshot_bytes"}
    ended = {"folkmoot_sagas_ended_total", "folkmoot_saga_seconds"}
    absent = later | ended | {"folkmoot_sagas_open", "folkmoot_team_without_leader"}
    assert {n: _told(scraped[n]) - declared[n] for n in scraped} == {n: set() for n in scraped}
    await eventually(lambda: all(declared[n] - _told(scraped[n]) <= absent for n in scraped))
    for family in (f for each in scraped.values() for f in each.collect()):
        for sample in family.samples:
            assert set(sample.labels) - {"le"} == set(BY_NAME[_name(family)].labels)


def _declared(service: str) -> set[str]:
    return {rule.name for rule in REGISTRY if service in rule.services}


def _name(family: Metric) -> str:
    return f"{family.name}_total" if family.type == "counter" else family.name


def _told(scraped: CollectorRegistry) -> set[str]:
    return {_name(family) for family in scraped.collect() if family.samples}


async def test_sagas_and_calls_are_counted_by_how_they_ended(mesh: Mesh) -> None:
    scraped = registries(mesh)
    sagas, breakers = scraped["saga-orchestrator"], scraped["breaker-proxy"]
    assert total(sagas, "sagas_ended_total") == 0
    async with Client.on(mesh.bus) as client:
        for paper in ("whole", "torn"):
            assert total(sagas, "sagas_open") == 0
            saga = await client.submit("office", paper)
            if paper == "torn":
                with pytest.raises(SagaFailed):
                    await saga.result(timeout_s=30)
            else:
                await saga.result(timeout_s=30)
        assert total(sagas, "sagas_ended_total", team="office", state="completed") == 1
        assert total(sagas, "sagas_ended_total", team="office", state="compensated") == 1
        assert total(sagas, "saga_seconds_count", team="office") == 2
        assert total(sagas, "sagas_open") == 0
        calls = total(breakers, "breaker_calls_total", agent="clerk", outcome="admitted")
        assert calls == 6  # four steps, and the two of the saga that was undone
        await eventually(lambda: total(breakers, "breaker_calls_total", outcome="ended") == calls)
        assert total(breakers, "breaker_calls_in_flight", agent="clerk") == 0
        assert total(breakers, "breaker_state", agent="clerk", state="closed") == 1
    election = scraped["election"]
    assert total(election, "teams", state="led") == 1
    assert total(election, "sessions") == 1
    assert total(scraped["agent-worker"], "knowledge_documents") == 1


async def test_an_open_saga_is_counted_by_its_state_and_then_that_there_is_none(
    mesh: Mesh,
) -> None:
    sagas = registries(mesh)["saga-orchestrator"]
    async with Client.on(mesh.bus) as client:
        saga = await client.submit("office", "waiting")
        await eventually(lambda: total(sagas, "sagas_open", team="office", state="running") == 1)
        gate.set()
        await saga.result(timeout_s=30)
    states = [
        sample.labels["state"]
        for family in sagas.collect()
        for sample in family.samples
        if sample.name == "folkmoot_sagas_open"
    ]
    assert "running" in states
    await eventually(lambda: total(sagas, "sagas_open") == 0)
