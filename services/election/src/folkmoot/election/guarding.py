"""Sees to it that the last record of each team on `folkmoot.leaders` is a true one.

The topic is compacted: of each team only the last record stays. A replica that led, was paused and
comes back may still send what it had decided then, and an outsider may write by mistake. Readers
who were there tell such a record by its mark; whoever reads after compaction would find nothing
else. So the leader of the team's shard says again how it is.

A record is only found wanting when a newer one is known to have been there: sent, acknowledged,
and the topic read to where it ended after that. In all other cases the newer one is on its way.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from typing import Any

from folkmoot.bus.ports import Bus, Stored, Tail
from folkmoot.contracts.keys import partition_of
from folkmoot.core.election import ElectionState, Republish
from folkmoot.core.kernel import NOTHING
from folkmoot.core.messages import LEADERS
from folkmoot.runtime.replica import Replica

READ_RECORDS_MAX = 1_000
READ_TIMEOUT_MS = 500

logger = logging.getLogger(__name__)


class Guard:
    """Watches the topic for the teams whose shards this process leads."""

    def __init__(self, bus: Bus, replicas: Sequence[Replica[Any]]) -> None:
        self._bus, self._replicas = bus, replicas
        self._last: dict[str, int] = {}
        self._doubtful: set[str] = set()
        self._swept: dict[int, int] = {}

    async def run(self) -> None:
        """Read the topic, and mend it, for as long as this process runs.

        Raises:
            BusError: the topic cannot be read now; run it again, it begins anew.
        """
        self._last.clear()
        self._swept.clear()
        tail = await self._bus.log.tail(LEADERS, 0, 0)
        try:
            while True:
                await self._read(tail, READ_TIMEOUT_MS)
                await self._mend(tail)
        finally:
            await tail.close()

    async def _read(self, tail: Tail, timeout_ms: int) -> None:
        for record in await tail.read(READ_RECORDS_MAX, timeout_ms):
            if record.key is not None:
                team = record.key.decode("utf-8", "replace")
                self._last[team] = _revision(record)
                self._doubtful.add(team)

    async def _mend(self, tail: Tail) -> None:
        self._doubt_after_election()
        overdue = self._overdue()
        if not overdue:
            return
        end = await self._bus.log.end_offset(LEADERS, 0)
        while tail.position < end:
            await self._read(tail, READ_TIMEOUT_MS)
        for team, revision in overdue.items():
            if self._last.get(team, NOTHING) < revision:
                logger.warning("an old record of team %s was the last: saying it again", team)
                self._replica(team).submit(Republish(team))

    def _doubt_after_election(self) -> None:
        """Doubt all teams of a shard when this process begins to lead it."""
        for replica in self._replicas:
            term, partition = replica.shard.leadership.term, replica.name.partition
            if replica.leads and self._swept.get(partition) != term:
                self._swept[partition] = term
                self._doubtful.update(replica.shard.state.teams)

    def _overdue(self) -> dict[str, int]:
        """Return the teams whose newest record was sent and not yet read, with its revision."""
        overdue = {}
        for team in list(self._doubtful):
            replica = self._replica(team)
            revision = _decided(replica.shard.state, team)
            if not replica.leads or self._last.get(team, NOTHING) >= revision:
                self._doubtful.discard(team)
            elif revision <= replica.shard.emitted:
                overdue[team] = revision
        return overdue

    def _replica(self, team: str) -> Replica[Any]:
        return self._replicas[partition_of(team, len(self._replicas))]


def _decided(state: ElectionState, team: str) -> int:
    known = state.teams.get(team)
    return NOTHING if known is None else known.revision


def _revision(record: Stored) -> int:
    """Return the offset of the decision that a record tells of, below all if it tells of none."""
    mark = dict(record.headers).get("mark", b"")
    offset, _, _ = mark.partition(b".")
    return int(offset) if record.value is not None and offset.isdigit() else NOTHING
