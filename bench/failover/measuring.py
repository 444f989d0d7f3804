"""What is measured, in which order, and what it should be."""

from __future__ import annotations

import math
import sys
import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from bench.failover import echo, kernel
from bench.failover.platform import DEFAULT_TTL_MS, LEASE_S, TTL_MS, Platform, platform
from bench.failover.servers import JetStream
from bench.figures import Figure
from folkmoot.bus import connect
from folkmoot.local.kafka import KafkaServer
from folkmoot.local.supervisor import Supervisor
from folkmoot.runtime import garbage

Measure = Callable[[], Awaitable[float]]

CRASH_MARGIN_MS = 250
HAND_OVER_MS, HAND_OVER_P99_MS = 10, 50
SESSION_TTL_MS, SESSION_MARGIN_MS = 1_500, 500
INPUT_US = 15
RESTORE_S, SNAPSHOT_S = 10, 1
RESTORED = "bench.restored.log"


@dataclass(frozen=True, slots=True)
class Plan:
    """How often, and how much."""

    rounds: int
    inputs: int
    entries: int
    restores: int
    seconds_max: float = math.inf


def _crashes(running: Platform) -> list[tuple[Figure, Measure]]:
    """Return the crashes of a leader, and until when another's decision must have come."""
    followers = Figure(f"NATS KV lease, {LEASE_S} s, timed by followers")
    server = Figure(f"NATS KV lease, {LEASE_S} s, timed by the server")
    etcd = Figure(f"etcd election, lease of {LEASE_S} s asked, 2 s granted")
    group = Figure("Kafka consumer group, session of 1 s (broker's minimum lowered)")
    peers = [followers, server, etcd, group]
    quick = TTL_MS + CRASH_MARGIN_MS
    idle = Figure("leader killed while idle, ttl 1 s", p99_max=quick, peers=peers)
    busy = Figure("leader killed at work, ttl 1 s", p99_max=quick)
    usual = Figure("leader killed at work, ttl 1.5 s", p99_max=DEFAULT_TTL_MS + CRASH_MARGIN_MS)
    made: list[tuple[Figure, Measure]] = [
        (idle, running.event_store.crash_idle),
        (followers, running.nats_followers.crash),
        (busy, running.event_store.crash_busy),
        (server, running.nats_server.crash),
        (usual, running.election.crash_busy),
        (group, running.group.crash),
    ]
    return made if running.etcd is None else [*made, (etcd, running.etcd.crash)]


def _hand_overs(running: Platform) -> list[tuple[Figure, Measure]]:
    deleted, resigned = Figure("NATS KV delete"), Figure("etcd resign")

    def ours(name: str, peers: Sequence[Figure] = ()) -> Figure:
        return Figure(name, "ms", HAND_OVER_MS, HAND_OVER_P99_MS, peers)

    first = ours("hand-over on SIGTERM, event store", [deleted, resigned])
    second = ours("hand-over on SIGTERM, election")
    made: list[tuple[Figure, Measure]] = [
        (first, running.event_store.hand_over),
        (deleted, running.nats_followers.hand_over),
        (second, running.election.hand_over),
    ]
    return made if running.etcd is None else [*made, (resigned, running.etcd.hand_over)]


def _teams(running: Platform) -> list[tuple[Figure, Measure]]:
    limit = SESSION_TTL_MS + SESSION_MARGIN_MS
    name = "team's leader killed until another holds a newer epoch, session ttl 1.5 s"
    return [(Figure(name, p99_max=limit), running.team.crash)]


async def leading_figures(folder: Path, plan: Plan) -> list[Figure]:
    """Measure crashes and hand-overs, one of each after the other, round by round."""
    async with platform(folder) as running:
        turns = [*_crashes(running), *_hand_overs(running), *_teams(running)]
        await _in_turns(turns, plan)
    return _with_rival(_not_peers([figure for figure, _ in turns]))


async def _in_turns(turns: list[tuple[Figure, Measure]], plan: Plan) -> None:
    """Measure until enough. What never came counts as for ever, and ends it: the rest would lie."""
    began = time.monotonic()
    for number in range(plan.rounds):
        for figure, measure in turns:
            try:
                figure.samples.append(await measure())
            except TimeoutError:
                figure.samples.append(math.inf)
                print(f"{figure.name}: nothing came in time", file=sys.stderr)
                return
        took = time.monotonic() - began
        print(f"round {number + 1} of {plan.rounds}, {took:.0f} s", file=sys.stderr)
        if took > plan.seconds_max:
            return


def _not_peers(figures: list[Figure]) -> list[Figure]:
    compared = [id(peer) for figure in figures for peer in figure.peers]
    return [figure for figure in figures if id(figure) not in compared]


def _with_rival(figures: list[Figure]) -> list[Figure]:
    """Set the goal that an idle leader's crash takes no longer than the quicker NATS lease."""
    idle = figures[0]
    idle.median_max = min(peer.median for peer in idle.peers[:2])
    return figures


async def kernel_figures(folder: Path, plan: Plan) -> list[Figure]:
    """Measure the kernel's cost, in turns with the bare client."""
    garbage.look_rarely()  # as every service does
    raw = Figure("raw aiokafka, getmany and send_batch", "µs")
    alone = Figure("kernel per input: decide, append, apply", "µs", INPUT_US, peers=[raw])
    whole = Figure("the same, with reading and decoding the input", "µs")
    restored = Figure(f"restore of {plan.entries:,} entries", "s of one core", RESTORE_S)
    from_snapshot = Figure("the same, from a snapshot", "s of one core", SNAPSHOT_S)
    supervisor = Supervisor(folder)
    kafka, nats = KafkaServer(folder / "kafka"), JetStream(folder / "nats")
    await supervisor.open()
    try:
        await supervisor.start(kafka, nats)
        bus = await connect(f"kafka://{kafka.address}?nats={nats.address}")
        await echo.create(bus, [echo.INBOX, echo.LOG, kernel.KERNEL, kernel.COPY], plan.rounds)
        for number in range(plan.rounds):
            await echo.fill_inbox(bus, number, plan.inputs)
            alone.samples.append(await kernel.kernel_alone(bus, number, plan.inputs))
            whole.samples.append(await kernel.whole_loop(bus, number, plan.inputs))
            raw.samples.append(await kernel.raw_client(kafka.address, number, plan.inputs))
        await echo.create(bus, [RESTORED], 1)
        await echo.fill_log(bus, RESTORED, plan.entries)
        for _ in range(plan.restores):
            restored.samples.append(await kernel.restore(bus, RESTORED, plan.entries))
        await kernel.take_snapshot(bus, RESTORED, plan.entries)
        for _ in range(plan.restores):
            from_snapshot.samples.append(await kernel.restore(bus, RESTORED, plan.entries))
        await bus.close()
    finally:
        await supervisor.stop()
    return [alone, whole, restored, from_snapshot]
