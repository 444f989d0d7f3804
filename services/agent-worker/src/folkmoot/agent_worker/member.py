"""A member's part in its teams: it joins, beats, hears who leads, and joins again if forgotten.

The election service decides who should lead; this is only the member's side of it. What it hears
of leaders comes from the compacted topic `folkmoot.leaders`, which is the truth; announcements
over gossip may be lost and are not needed.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Sequence

from folkmoot.bus.ports import Bus, BusError, UnknownTopic
from folkmoot.contracts.envelope import Decoded, decode_message
from folkmoot.contracts.keys import partition_of
from folkmoot.core.kernel import NOTHING, Mark
from folkmoot.core.messages import LEADERS, BeatSession, Join, Leader, Leave, inbox
from folkmoot.core.names import by_wire_name
from folkmoot.runtime.clock import Clock
from folkmoot.runtime.postbox import Postbox
from folkmoot.sdk.agent import Team

ELECTION = inbox("election")
READ_RECORDS_MAX = 1_000
READ_TIMEOUT_MS = 200
RETRY_S = 0.5

BEFORE_ALL = Mark(NOTHING, NOTHING)

logger = logging.getLogger(__name__)


async def partitions_of(bus: Bus, topic: str) -> int:
    """Return how many partitions a topic of a service has.

    Raises:
        UnknownTopic: there is no such topic; says what to start.
    """
    partitions = (await bus.log.topics()).get(topic)
    if partitions is None:
        raise UnknownTopic(
            f"there is no topic {topic!r} on {bus.address}: start Folkmoot's services first, or "
            "correct the address"
        )
    return partitions


class Membership:
    """One member's sessions with the election service."""

    def __init__(
        self,
        bus: Bus,
        clock: Clock,
        member: str,
        node: str,
        teams: Sequence[Team],
        session_ttl_ms: int,
        priority: int = 0,
    ) -> None:
        self._bus, self._clock = bus, clock
        self.member, self._node = member, node
        self._teams = {team.name: team for team in teams}
        self._ttl_ms, self._priority = session_ttl_ms, priority
        self._postbox = Postbox(bus, member, clock)
        self._leaders: dict[str, Leader] = {}
        self._marks: dict[str, Mark] = {}
        self._asked_at: dict[str, int] = {}
        self._heard = asyncio.Event()
        self._leaving = False
        self._election_partitions: int | None = None

    # -- what it heard ----------------------------------------------------------------------

    def granted(self, team: str) -> tuple[str | None, int]:
        """Return who was elected in `team`, and the epoch."""
        leader = self._leaders.get(team)
        return (None, 0) if leader is None else (leader.leader, leader.epoch)

    def members(self, team: str) -> Sequence[str]:
        """Return the members of `team`, as last heard."""
        leader = self._leaders.get(team)
        return () if leader is None else leader.members

    async def joined(self) -> None:
        """Wait until every team lists this member."""
        while not all(self._is_listed(team) for team in self._teams):
            self._heard.clear()
            await self._heard.wait()

    def _is_listed(self, team: str) -> bool:
        leader = self._leaders.get(team)
        return leader is not None and self.member in leader.members

    # -- what it does -----------------------------------------------------------------------

    async def listen(self) -> None:
        """Follow the leaders of all teams, whatever becomes of the bus meanwhile."""
        while True:
            try:
                await self._listen()
            except BusError as error:
                logger.warning("who leads is not known now: %s", error)
                await asyncio.sleep(RETRY_S)

    async def _listen(self) -> None:
        tail = await self._bus.log.tail(LEADERS, 0, 0)
        types = by_wire_name(Leader)
        try:
            while True:
                for record in await tail.read(READ_RECORDS_MAX, READ_TIMEOUT_MS):
                    self._hear(decode_message(record.value, record.headers, types))
        finally:
            await tail.close()

    def _hear(self, heard: Decoded) -> None:
        """Take in what is news; a deposed leader of the election may tell old news late."""
        leader, mark = heard.message, heard.mark
        if not isinstance(leader, Leader) or mark is None:
            return
        if mark > self._marks.get(leader.team, BEFORE_ALL):
            self._marks[leader.team], self._leaders[leader.team] = mark, leader
            self._heard.set()

    async def keep_session(self) -> None:
        """Join, then beat three times a ttl, and join again when no longer listed."""
        while not self._leaving:
            try:
                await self._beat()
            except BusError as error:
                logger.warning("a beat was not sent: %s", error)
            await asyncio.sleep(self._ttl_ms / 3000)

    async def _beat(self) -> None:
        partitions = await self._partitions()
        for team in self._teams.values():
            await self._join_if_needed(team, partitions)
        for shard in self._shards(partitions):
            await self._say(shard, BeatSession(self.member), self.member)

    async def _say(self, shard: int, message: Join | BeatSession, key: str) -> None:
        """Send, unless this member has said farewell: a later word would bring it back."""
        if not self._leaving:
            await self._postbox.send(ELECTION, shard, message, key)

    async def _partitions(self) -> int:
        if self._election_partitions is None:
            self._election_partitions = await partitions_of(self._bus, ELECTION)
        return self._election_partitions

    def _shards(self, partitions: int) -> list[int]:
        """Return the election's shards that this member's teams belong to."""
        return sorted({partition_of(team, partitions) for team in self._teams})

    async def _join_if_needed(self, team: Team, partitions: int) -> None:
        now = self._clock.monotonic()
        asked_at = self._asked_at.get(team.name)
        if self._is_listed(team.name) or (asked_at is not None and now - asked_at < self._ttl_ms):
            return
        self._asked_at[team.name] = now
        join = Join(
            team.name,
            self.member,
            self._node,
            self._ttl_ms,
            self._priority,
            tuple(sorted(team.agents)),
        )
        shard = partition_of(team.name, partitions)
        await self._say(shard, join, team.name)

    async def leave(self) -> None:
        """Say farewell, so that nobody has to wait for the session to expire."""
        self._leaving = True
        try:
            for shard in self._shards(await self._partitions()):
                await self._postbox.send(ELECTION, shard, Leave(self.member), self.member)
        except BusError as error:
            logger.warning("left without a word: %s", error)
