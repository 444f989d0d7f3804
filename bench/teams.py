"""What the election of 10,000 teams costs while nothing happens, and when a node dies.

Real Kafka, and one process of the election service. Twenty nodes, each a candidate in a thousand
teams, which have two each, beat from this process. The peer is a NATS KV lease for each team,
renewed by a compare-and-swap as often as our nodes beat: the usual way to do without sessions.
"""

from __future__ import annotations

import asyncio
import contextlib
import statistics
import tempfile
import time
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import nats
import psutil
from nats.aio.client import Client as NatsConnection

from bench.rows import Row, options, report
from folkmoot.bus import connect
from folkmoot.bus.ports import Bus
from folkmoot.cli.platform import options_for
from folkmoot.core.election import BEATS_PER_TTL
from folkmoot.core.messages import inbox, log
from folkmoot.local import ports
from folkmoot.local.nats import NatsServer
from folkmoot.local.up import Running, up
from folkmoot.runtime.clock import SystemClock
from folkmoot.sdk.election.leaders import follow_leaders
from folkmoot.sdk.election.membership import Candidature, Membership

TTL_MS = 1_500
CORE_GOAL_PERCENT = 10.0
RECORDS_GOAL = 100.0
FAILOVER_GOAL_MS = TTL_MS + 500
SETTLE_S = 3.0
"""After the joins, so that what they caused is over when the measuring begins."""


@dataclass(frozen=True, slots=True)
class Scale:
    """How much is measured, and for how long."""

    teams: int
    nodes: int
    shards: int
    seconds: float
    kills: int


FULL = Scale(teams=10_000, nodes=20, shards=1, seconds=30.0, kills=2)
QUICK = Scale(teams=400, nodes=4, shards=1, seconds=4.0, kills=1)


@dataclass
class Node:
    """One node: a member of many teams."""

    membership: Membership
    teams: Sequence[str]
    tasks: list[asyncio.Task[None]] = field(default_factory=list)

    def start(self) -> None:
        """Join, and beat."""
        jobs = (self.membership.listen(), self.membership.keep_session())
        self.tasks = [asyncio.create_task(job) for job in jobs]

    async def kill(self) -> None:
        """Fall silent."""
        for task in self.tasks:
            task.cancel()
        await asyncio.gather(*self.tasks, return_exceptions=True)
        await self.membership.close()


@contextlib.asynccontextmanager
async def election(folder: Path, shards: int) -> AsyncIterator[tuple[Running, Bus]]:
    """Run Kafka, NATS and the election service, each a process, and connect to them."""
    options = options_for(folder, http_port=ports.free_port(), any_port=True, partitions=shards)
    only = [spec for spec in options.services if spec.name == "election"]
    async with await up(replace(options, services=only)) as running:
        bus = await connect(options.bus)
        try:
            yield running, bus
        finally:
            await bus.close()


async def populate(bus: Bus, scale: Scale, nodes: list[Node]) -> None:
    """Let all nodes join, each team having two of them, and wait until all are listed."""
    hosted: list[list[str]] = [[] for _ in range(scale.nodes)]
    for number in range(scale.teams):
        for place in (number, number + 1 + number // scale.nodes % (scale.nodes - 1)):
            hosted[place % scale.nodes].append(f"team-{number}")
    for number, teams in enumerate(hosted):
        name = f"node-{number}"
        parts = [Candidature(team) for team in teams]
        nodes.append(Node(Membership(bus, SystemClock(), name, name, TTL_MS, parts), teams))
        nodes[-1].start()
        await nodes[-1].membership.joined()


@dataclass(frozen=True, slots=True)
class Usage:
    """CPU time of processes, and the records of the election's topics, at one moment."""

    at: float
    service_s: float
    broker_s: float
    nodes_s: float
    records: int


async def usage(running: Running, bus: Bus, scale: Scale) -> Usage:
    """Look at the clocks."""
    pids = {process.name: process.pid for process in running.processes}
    ends = [
        await bus.log.end_offset(topic, shard)
        for topic in (inbox("election"), log("election"))
        for shard in range(scale.shards)
    ]
    return Usage(
        time.perf_counter(), cpu_s(pids["election"]), cpu_s(pids["kafka"]), cpu_s(None), sum(ends)
    )


def cpu_s(pid: int | None) -> float:
    """Return the CPU time that a process has used; of this one, if it is None."""
    times = psutil.Process(pid).cpu_times()
    return float(times.user + times.system)


async def quiet(running: Running, bus: Bus, scale: Scale) -> list[Row]:
    """Measure while everybody only lives."""
    await asyncio.sleep(SETTLE_S)
    before = await usage(running, bus, scale)
    await asyncio.sleep(scale.seconds)
    after = await usage(running, bus, scale)
    seconds, count = after.at - before.at, after.records - before.records
    service = 100 * (after.service_s - before.service_s) / seconds
    broker = 100 * (after.broker_s - before.broker_s) / seconds
    node = 100 * (after.nodes_s - before.nodes_s) / seconds / scale.nodes
    what = f"{scale.teams:,} teams, {scale.nodes} nodes"
    goal_core, goal_records = f"at most {CORE_GOAL_PERCENT:g} %", f"at most {RECORDS_GOAL:g}"
    return [
        Row(f"{what}: the election service", service, "% of a core", goal_core,
            service <= CORE_GOAL_PERCENT, n=count),
        Row(f"{what}: control records", count / seconds, "records/s", goal_records,
            count / seconds <= RECORDS_GOAL, n=count),
        Row(f"{what}: the Kafka broker, all told", broker, "% of a core", n=count),
        Row(f"{what}: each node's membership", node, "% of a core", n=count),
    ]  # fmt: skip


async def failover(bus: Bus, nodes: list[Node], kills: int) -> list[Row]:
    """Kill nodes, and measure until each of their teams has another leader, as a reader hears."""
    taken: list[float] = []
    for _ in range(kills):
        dead = nodes.pop(0)  # the first to join leads all of its teams
        member = dead.membership.member
        led = {team for team in dead.teams if dead.membership.granted(team)[0] == member}
        following = asyncio.create_task(_times_of(bus, member, led))
        await asyncio.sleep(SETTLE_S)
        await dead.kill()
        killed_at = time.perf_counter()
        async with asyncio.timeout(60):
            taken += [1000 * (at - killed_at) for at in await following]
    p50, p99 = (statistics.quantiles(taken, n=100)[place] for place in (49, 98))
    goal = f"at most {FAILOVER_GOAL_MS:,} ms"
    name = f"a node dies: its {len(taken) // kills} teams are led again"
    return [
        Row(f"{name}, median", p50, "ms", n=len(taken)),
        Row(f"{name}, 99th percentile", p99, "ms", goal, p99 <= FAILOVER_GOAL_MS, n=len(taken)),
    ]


async def _times_of(bus: Bus, member: str, teams: set[str]) -> list[float]:
    """Return when each of `teams` had a leader other than `member`."""
    times: dict[str, float] = {}
    async for leader in follow_leaders(bus):
        if leader.team in teams and leader.leader not in (None, member):
            times.setdefault(leader.team, time.perf_counter())
            if len(times) == len(teams):
                break
    return list(times.values())


class JetStream(NatsServer):
    """A nats-server that keeps what it is given, for the peer."""

    async def command(self) -> Sequence[str]:
        """Return the program and its arguments."""
        return [*await super().command(), "-js", "-sd", str(self.log.parent / "jetstream")]


async def peer(folder: Path, scale: Scale) -> list[Row]:
    """Measure a compare-and-swap on NATS KV for each team, as fast as it goes."""
    server = JetStream(folder / "peer")
    await server.start()
    connections = [await nats.connect(server.address) for _ in range(scale.nodes)]
    try:
        store = await connections[0].jetstream().create_key_value(bucket="leases")
        per_node = scale.teams // scale.nodes
        keys = [[f"t{n}-{k}" for k in range(per_node)] for n in range(scale.nodes)]
        revisions = [{key: await store.create(key, b"node") for key in mine} for mine in keys]
        began, used = time.perf_counter(), cpu_s(server.pid)
        until = began + scale.seconds
        renewed = await asyncio.gather(
            *(_renew(c, mine, until) for c, mine in zip(connections, revisions, strict=True))
        )
        seconds, cpu = time.perf_counter() - began, cpu_s(server.pid) - used
    finally:
        for connection in connections:
            await connection.close()
        await server.stop()
    count = sum(renewed)
    needed = scale.teams * BEATS_PER_TTL * 1000 / TTL_MS
    name, kv = f"{scale.teams:,} leases", "NATS KV, one CAS a team"
    return [
        Row(f"{name}: renewals needed", needed, "records/s", peer=kv),
        Row(f"{name}: renewals reached by {scale.nodes} clients of this process",
            count / seconds, "records/s", peer=kv, n=count),
        Row(f"{name}: the server, at the rate needed, by its CPU time for each",
            100 * cpu / count * needed, "% of a core", peer=kv, n=count),
    ]  # fmt: skip


async def _renew(connection: NatsConnection, revisions: dict[str, int], until: float) -> int:
    store = await connection.jetstream().key_value("leases")
    renewed = 0
    while time.perf_counter() < until:
        for key, revision in revisions.items():
            revisions[key] = await store.update(key, b"node", last=revision)
            renewed += 1
            if time.perf_counter() >= until:
                break
    return renewed


async def measure(scale: Scale) -> list[Row]:
    """Return all rows, the peer's last."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        async with election(folder / "ours", scale.shards) as (running, bus):
            nodes: list[Node] = []
            try:
                await populate(bus, scale, nodes)
                rows = await quiet(running, bus, scale)
                rows += await failover(bus, nodes, scale.kills)
            finally:
                await asyncio.gather(*(node.kill() for node in nodes))
        return rows + await peer(folder, scale)


def main() -> None:
    """Measure, print, and write the rows if asked to."""
    given = options(__doc__ or "").parse_args()
    rows = asyncio.run(measure(QUICK if given.quick else FULL))
    report("Folkmoot, the election of many teams", rows, given.json)


if __name__ == "__main__":
    main()
