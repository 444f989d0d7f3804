"""The saga benchmark: each contender is given a small turn, so that it still measures its own."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Collection, Sequence
from contextlib import AsyncExitStack
from pathlib import Path

import pytest

from bench.sagas import installing, killing, scale
from bench.sagas.contender import Contender, NotMeasured, Program, Running
from bench.sagas.embedded import Embedded
from bench.sagas.kafka import PYTHON, Bare, Brokers, Folkmoot
from bench.sagas.loops import Load
from bench.sagas.measuring import Bench, Plan
from bench.sagas.peers import DbosOnSqlite, Restate
from bench.sagas.points import Results
from bench.sagas.programs.agents import agent
from bench.sagas.programs.bare_saga import rehearse
from bench.sagas.programs.client import run_saga
from bench.sagas.scale import Scale
from folkmoot import Client
from folkmoot.bus.ports import Bus
from folkmoot.core.messages import TASK_RESULTS, TASKS, inbox
from folkmoot.mesh import Mesh

SMALL = Plan(
    rounds=1, seconds=0.2, warm_up_s=0.2, idle_s=0.1, open_s=0.3, in_flight=(1, 4), widths=(5,)
)
SLOW_S = 600  # whatever else the machine does
SERVICES = {"election", "event-store", "saga-orchestrator", "breaker-proxy", "agent-worker"}


async def run(contenders: Sequence[Contender], folder: Path, *, open_too: bool = False) -> Results:
    async with Bench(contenders, folder, SMALL) as bench:
        await bench.closed()
        if open_too:
            await bench.open()
    trouble = {point.trouble for point in bench.results.points.values()}
    assert trouble <= {""}
    return bench.results


@pytest.mark.kafka
@pytest.mark.timeout(SLOW_S)
async def test_folkmoot_on_kafka_beside_the_bare_loop(tmp_path: Path) -> None:
    brokers = Brokers()
    contenders = [Folkmoot(brokers), Bare(brokers, "whole"), Bare(brokers, "short")]
    results = await run(contenders, tmp_path)
    ours, whole, short = (results.find(each.name, "three", 4) for each in contenders)
    assert ours is not None
    assert whole is not None
    assert short is not None
    assert set(ours.processor_s) == SERVICES | {"Kafka", "NATS", "client"}
    assert ours.own_processor_ms > whole.own_processor_ms > 0
    assert ours.each(ours.log_bytes) > whole.each(whole.log_bytes) / 2
    assert whole.each(whole.log_bytes) > 3 * short.each(short.log_bytes) > 0
    shapes = {point.load.shape for point in results.measured() if point.contender == "Folkmoot"}
    assert shapes == {"three", "undo", "wide"}


@pytest.fixture
async def folkmoot(tmp_path: Path) -> AsyncIterator[Folkmoot]:
    async with AsyncExitStack() as stack:
        folkmoot = Folkmoot(Brokers())
        await folkmoot.prepare(stack, tmp_path)
        yield folkmoot


@pytest.mark.kafka
@pytest.mark.timeout(SLOW_S)
async def test_a_leader_is_killed_under_load(folkmoot: Folkmoot, tmp_path: Path) -> None:
    back, affected = await killing.measure(folkmoot, tmp_path / "kill")
    assert affected.n > 0
    assert back.value >= 0


@pytest.mark.kafka
@pytest.mark.timeout(SLOW_S)
async def test_sagas_stay_open_and_others_end(folkmoot: Folkmoot, tmp_path: Path) -> None:
    small = Scale(open_sagas=50, ended_sagas=50, seconds=0.2, piece_s=0.2, in_flight=8)
    measured = await scale.measure(folkmoot, tmp_path / "scale", small)
    assert measured[0].n >= 50
    assert measured[-1].value > 0


@pytest.mark.timeout(SLOW_S)
async def test_folkmoot_embedded(tmp_path: Path) -> None:
    results = await run([Embedded()], tmp_path, open_too=True)
    point = results.find("Folkmoot embedded", "three", 4)
    assert point is not None
    assert point.log_bytes > 0
    assert [point for point in results.measured() if point.load.per_second]


@pytest.mark.timeout(SLOW_S)
@pytest.mark.parametrize(("shape", "width"), [("three", 1), ("undo", 1), ("wide", 7)])
async def test_the_bare_loop_has_our_hops(tmp_path: Path, shape: str, width: int) -> None:
    """Else the share of it that we reach would say nothing."""
    task = {"kind": "task", "saga_id": "s", "team": "bench", "n": 7, "shape": shape, "width": width}
    got, _ = rehearse(task, whole=True)
    expected = {
        TASKS: 1,
        inbox("saga-orchestrator"): got["orchestrator"] - 1,
        inbox("breaker-proxy"): got["breaker"],
        inbox("agent.bench"): got["agent"],
        inbox("team.bench"): got["team"],
        TASK_RESULTS: 1,
    }
    address = f"embedded:{tmp_path}/bench.db"
    async with Mesh.start(address, [agent]) as mesh, Client.on(mesh.bus) as client:
        await run_saga(client, Load("three", 1.0, 1), 1)  # by now the team is known everywhere
        before = await settled(mesh.bus, expected)
        await run_saga(client, Load(shape, 1.0, 1, width=width), 7)
        after = await settled(mesh.bus, expected)
    assert after - before == Counter(expected)


async def settled(bus: Bus, topics: Collection[str]) -> Counter[str]:
    """Return how many records each topic has when there have been no more for a while."""
    counted = await written(bus, topics)
    while True:
        await asyncio.sleep(0.5)
        if counted == (counted := await written(bus, topics)):
            return counted


async def written(bus: Bus, topics: Collection[str]) -> Counter[str]:
    """Return how many records each topic has."""
    partitions = await bus.log.topics()
    counted = Counter[str]()
    for name in topics:
        for each in range(partitions[name]):
            counted[name] += await bus.log.end_offset(name, each)
    return counted


@pytest.mark.timeout(SLOW_S)
async def test_peers_where_they_are_installed(tmp_path: Path) -> None:
    if not installing.done():
        return  # they are large; the benchmark itself installs them
    contenders = [Restate(), DbosOnSqlite()]
    results = await run(contenders, tmp_path)
    for contender in contenders:
        shapes = {p.load.shape for p in results.measured() if p.contender == contender.name}
        assert shapes == {"three", "undo", "wide"}


@pytest.mark.timeout(SLOW_S)
async def test_what_does_not_start_is_told_and_the_rest_is_measured(tmp_path: Path) -> None:
    class Broken(Embedded):
        name = "broken"

        async def start(self, stack: AsyncExitStack, folder: Path) -> Running:
            await Program(PYTHON, folder / "broken.log", "no_such_program").start()
            raise AssertionError

    async with Bench([Broken(), Embedded()], tmp_path, SMALL) as bench:
        await bench.closed()
    assert bench.results.find("Folkmoot embedded", "three", 1) is not None
    trouble = {p.trouble for p in bench.results.points.values() if p.contender == "broken"}
    assert len(trouble) == 1
    assert "no_such_program" in trouble.pop()


async def test_what_cannot_be_had_is_told(tmp_path: Path) -> None:
    class Absent(Contender):
        name, settings = "absent", "nothing"

        async def prepare(self, stack: AsyncExitStack, folder: Path) -> None:
            raise NotMeasured("it is nowhere")

        async def start(self, stack: AsyncExitStack, folder: Path) -> Running:
            raise AssertionError

    results = await run([Absent()], tmp_path)
    assert results.not_measured == {"absent": "it is nowhere"}
