"""How quick the first run is, and how many no-op sagas a second go through all five services.

Embedded: everything in this process, on one file. Kafka: real Kafka and NATS on this machine, each
service and the two members a process of its own; the load comes from this process.
"""

from __future__ import annotations

import asyncio
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from bench.load import Load, closed_loop
from bench.noop import agent
from bench.rows import Row, options, report
from folkmoot import Client
from folkmoot.cli.platform import member_process, options_for
from folkmoot.local.ports import free_port
from folkmoot.local.up import up
from folkmoot.mesh import Mesh

REPORT_GOAL_S = 5.0
IMPORT_GOAL_S = 0.3
LOADS = ((1, 100), (64, 1_500))
LOADS_QUICK = ((1, 10), (64, 100))
WARM_UP = 50


def timed(*argv: str, cwd: str | None = None) -> float:
    """Return how long a command takes, in seconds."""
    began = time.perf_counter()
    subprocess.run(argv, cwd=cwd, check=True, capture_output=True)
    return time.perf_counter() - began


def first_run(repeats: int) -> list[Row]:
    """Measure `folkmoot demo` to its report, and the import."""
    demos, imports = [], []
    for _ in range(repeats):
        with tempfile.TemporaryDirectory() as folder:
            demos.append(timed(sys.executable, "-m", "folkmoot.cli", "demo", cwd=folder))
    for _ in range(repeats * 2):
        bare = timed(sys.executable, "-c", "pass")
        imports.append(timed(sys.executable, "-c", "import folkmoot") - bare)
    return [
        _goal("folkmoot demo to its report", statistics.median(demos), REPORT_GOAL_S, repeats),
        _goal("import folkmoot", statistics.median(imports), IMPORT_GOAL_S, repeats * 2),
    ]


def _goal(name: str, seconds: float, goal_s: float, n: int) -> Row:
    return Row(name, seconds, "s", f"under {goal_s:g} s", seconds < goal_s, n=n)


async def loads(client: Client, where: str, wanted: tuple[tuple[int, int], ...]) -> list[Row]:
    """Measure the no-op saga at each number in flight."""
    await closed_loop(client, agent.team, 8, WARM_UP)
    rows: list[Row] = []
    for in_flight, sagas in wanted:
        rows += _rows(where, in_flight, await closed_loop(client, agent.team, in_flight, sagas))
    return rows


def _rows(where: str, in_flight: int, load: Load) -> list[Row]:
    name = f"no-op saga, {where}, {in_flight} in flight"
    return [
        Row(name, load.per_second, "sagas/s", n=load.sagas),
        Row(f"{name}: median", load.p50_ms, "ms", n=load.sagas),
        Row(f"{name}: 99th percentile", load.p99_ms, "ms", n=load.sagas),
    ]


async def embedded(wanted: tuple[tuple[int, int], ...]) -> list[Row]:
    """Measure on one SQLite file, in this process."""
    with tempfile.TemporaryDirectory() as folder:
        address = f"embedded:{folder}/bench.db"
        async with Mesh.start(address, [agent]) as mesh, Client.on(mesh.bus) as client:
            return await loads(client, "embedded", wanted)


async def on_kafka(wanted: tuple[tuple[int, int], ...]) -> list[Row]:
    """Measure on real brokers, with processes."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        options = options_for(folder, http_port=free_port(), any_port=True)
        async with await up(options):
            members = [
                member_process(f"bench-{n}", "bench.noop:agent", options.bus, folder / "logs")
                for n in (1, 2)
            ]
            try:
                await asyncio.gather(*(member.start() for member in members))
                async with Client.connect(options.bus) as client:
                    return await loads(client, "Kafka", wanted)
            finally:
                await asyncio.gather(*(member.stop() for member in members))


async def measure(quick: bool) -> list[Row]:
    """Return all rows, the brokers' last."""
    wanted = LOADS_QUICK if quick else LOADS
    rows = await asyncio.to_thread(first_run, 2 if quick else 5)
    rows += await embedded(wanted)
    return rows + await on_kafka(wanted)


def main() -> None:
    """Measure, print, and write the rows if asked to."""
    given = options(__doc__ or "").parse_args()
    rows = asyncio.run(measure(given.quick))
    report("Folkmoot, first run and no-op sagas", rows, given.json)


if __name__ == "__main__":
    main()
