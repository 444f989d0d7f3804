"""Runs worlds: one seed, or many at once."""

from __future__ import annotations

import asyncio
import gc
import os
from collections.abc import Iterable, Iterator
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import dataclass, field

from folkmoot.testing.simulation.checks import judge
from folkmoot.testing.simulation.draw import Draw, Scope, draw
from folkmoot.testing.simulation.evidence import Evidence, Violation
from folkmoot.testing.simulation.faults import strike_all
from folkmoot.testing.simulation.loop import SimulatedLoop
from folkmoot.testing.simulation.mesh import MeshWorld
from folkmoot.testing.simulation.relays import RelayWorld
from folkmoot.testing.simulation.transcript import transcript
from folkmoot.testing.simulation.world import Kind, World, quiet

CHUNK_SEEDS = 20
"""Seeds that a worker process takes at once."""


@dataclass
class Report:
    """How the run of one seed went. `transcript` is left out of runs by the thousand."""

    draw: Draw
    violations: list[Violation] = field(default_factory=list)
    records: int = 0
    terms: int = 0
    transcript: str = ""


def kind_of(drawn: Draw) -> Kind:
    """Return the kind of world that was drawn."""
    if drawn.scope == "mesh":
        return MeshWorld(drawn)
    return RelayWorld(drawn.ttl_ms)


def run_seed(seed: int, scope: Scope | None = None, *, tell: bool = False) -> Report:
    """Run one seed from beginning to end and judge it."""
    drawn, random = draw(seed, scope)
    report = Report(drawn)
    with quiet(), asyncio.Runner(loop_factory=SimulatedLoop) as runner:
        loop = runner.get_loop()
        assert isinstance(loop, SimulatedLoop)
        world = World(drawn, random, kind_of(drawn), loop)
        runner.run(_live(world, report, tell=tell))
    return report


async def _live(world: World, report: Report, *, tell: bool) -> None:
    try:
        evidence = await world.live(strike_all)
    except AssertionError as stuck:
        world.trouble("I7", f"the world stands still: {stuck}")
        evidence = world.evidence()
    finally:
        world.loop.over = True
        await world.bury()
    report.violations = judge(evidence)
    report.records = sum(len(shard.records) for shard in evidence.shards.values())
    report.terms = sum(_terms(evidence))
    if tell:
        report.transcript = transcript(world, evidence)


def _terms(evidence: Evidence) -> Iterator[int]:
    for shard in evidence.shards.values():
        yield len({ruling.term for ruling in shard.rulings})


def run_chunk(seeds: list[int], scope: Scope | None) -> list[Report]:
    """Run some seeds in this process, up to the first that fails."""
    reports = []
    gc.disable()  # a tenth of the time; what a few worlds leave behind fits into memory
    try:
        for seed in seeds:
            reports.append(run_seed(seed, scope))
            if reports[-1].violations:
                break
    finally:
        gc.enable()
        gc.collect()
    return reports


def run_many(
    seeds: Iterable[int], scope: Scope | None = None, jobs: int | None = None
) -> Iterator[Report]:
    """Run many seeds in as many processes as there are cores; reports come as they are made."""
    jobs = jobs or os.cpu_count() or 1
    listed = list(seeds)
    chunks = [listed[n : n + CHUNK_SEEDS] for n in range(0, len(listed), CHUNK_SEEDS)]
    if jobs == 1:
        for chunk in chunks:
            yield from run_chunk(chunk, scope)
        return
    pool = ProcessPoolExecutor(jobs)
    try:
        for done in as_completed([pool.submit(run_chunk, chunk, scope) for chunk in chunks]):
            yield from done.result()
    finally:
        pool.shutdown(cancel_futures=True)
