"""Finds out that a mesh is at rest, and lets time leap to what is awaited next."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from typing import Any

from folkmoot.core.messages import log
from folkmoot.runtime.replica import Replica
from folkmoot.runtime.seat import Role
from folkmoot.testing.kit.loop import MARGIN_S, PatientLoop
from folkmoot.testing.simulation.broker import Broker
from folkmoot.testing.simulation.world import World
from folkmoot.testing.virtual_time import EPOCH_MS

LOOK_S = 0.05
LEAP_LEAST_S = 1.0
"""A shorter leap is not worth the beats that it makes late."""

STANDSTILL_S = 30.0
"""At rest for so long, with nothing that anybody waits for, a test will never end."""

SESSIONS = log("election")
"""The log whose timers are sessions: they are renewed for as long as a mesh lives."""

AnyReplica = Replica[Any]


class Pacer:
    """Watches a world for as long as its test runs."""

    def __init__(self, loop: PatientLoop, world: World, leaps_max: int) -> None:
        self._loop, self._world, self._leaps_left = loop, world, leaps_max

    async def run(self) -> None:
        """Let time leap wherever nothing happens."""
        idle_since = self._loop.now
        while True:
            await asyncio.sleep(LOOK_S)
            if not (self._loop.is_quiet and self._is_at_rest()):
                continue
            if (wait := self._next_wait()) is not None:
                idle_since = self._loop.now
                self._leap(wait - MARGIN_S)
            elif self._loop.now - idle_since > STANDSTILL_S:
                self._end("everybody waits, and nothing will ever happen")

    def _leap(self, to: float) -> None:
        if to - self._loop.now > LEAP_LEAST_S:
            self._leaps_left -= 1
            if self._leaps_left < 0:
                self._end("it goes on for ever, as far as can be seen")
            self._loop.leap(to)

    def _is_at_rest(self) -> bool:
        replicas = list(self._reachable())
        led = {r.name.origin for r in replicas if r.leads}
        return all(
            r.name.origin in led and _is_at_rest(r, self._world.broker)
            for r in replicas
            if r.role is not Role.HALTED
        )

    def _reachable(self) -> Iterator[AnyReplica]:
        """Yield the replicas that could do something."""
        for seat in self._world.seats.values():
            process, link = seat.process, seat.log
            if process is not None and process.runs and link is not None and link.link.up:
                yield from process.replicas

    def _next_wait(self) -> float | None:
        """Return when something is due in a shard, or anybody's wait ends, in the loop's time."""
        due = [
            (at - EPOCH_MS) / 1000
            for replica in self._reachable()
            if replica.leads and replica.name.log != SESSIONS
            if (at := replica.shard.due()) is not None
        ]
        wait = self._loop.next_wait()
        return min(due if wait is None else [*due, wait], default=None)

    def _end(self, why: str) -> None:
        open_sagas = [
            f"saga {saga_id} is {saga.phase}"
            for replica in self._reachable()
            if replica.leads and replica.name.log == log("saga-orchestrator")
            for saga_id, saga in replica.shard.state.sagas.items()
        ]
        sagas = "; ".join(open_sagas) or "no saga is open"
        self._loop.standstill = f"{why}: {sagas}"


def _is_at_rest(replica: AnyReplica, broker: Broker) -> bool:
    shard, name = replica.shard, replica.name
    if not replica.leads:
        end = len(broker.partitions[name.log, name.partition].records)
        return replica.role is Role.FOLLOWING and shard.next_offset == end
    ends = {t: len(broker.partitions[t, name.partition].records) for t in name.inputs}
    consumed = all(shard.consumed.get(topic, 0) == end for topic, end in ends.items())
    return consumed and not shard.pending and not shard.is_ahead
