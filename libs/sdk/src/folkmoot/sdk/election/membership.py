"""A member's part in its teams: it joins, beats, hears who leads, and joins again if forgotten.

The election service decides who should lead; this is only the member's side of it. What it hears
of leaders comes from the compacted topic `folkmoot.leaders`, which is the truth; announcements
over gossip may be lost and are not needed.

One beat serves all teams of a shard, however many they are.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from folkmoot.bus.ports import Bus, BusError, UnknownTopic
from folkmoot.contracts.keys import partition_of
from folkmoot.core.election import BEATS_PER_TTL
from folkmoot.core.messages import BeatSession, Join, Leader, Leave, ResignLeadership, inbox
from folkmoot.runtime.clock import Clock
from folkmoot.runtime.postbox import Postbox
from folkmoot.sdk.election.leaders import Leaders, follow_leaders

ELECTION = inbox("election")
SENDS_AT_ONCE = 64
"""Of joins, of which there may be thousands, so that they hold up no beat."""

RETRY_S = 0.5

logger = logging.getLogger("folkmoot.election")


@dataclass(frozen=True, slots=True)
class Candidature:
    """How a member takes part in a team; see `folkmoot.core.messages.Join`."""

    team: str
    agents: tuple[str, ...] = ()
    priority: int = 0
    labels: Mapping[str, str] = field(default_factory=dict)
    version: str = ""


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
    """One member's sessions with the election service, one for each shard that has its teams.

    An `obliging` member hands over whenever a team's rules name a successor.
    """

    def __init__(
        self,
        bus: Bus,
        clock: Clock,
        member: str,
        node: str,
        session_ttl_ms: int,
        candidatures: Iterable[Candidature] = (),
        *,
        obliging: bool = False,
    ) -> None:
        self._bus, self._clock = bus, clock
        self.member, self._node, self._ttl_ms = member, node, session_ttl_ms
        self._candidatures = {each.team: each for each in candidatures}
        self._unlisted = set(self._candidatures)
        self._obliging = obliging
        self.on_beat: Callable[[int], None] = lambda _: None
        """Called before a beat is sent, with its number. Joins carry the last beat's."""
        self._postbox = Postbox(bus, member, clock)
        self._leaders = Leaders(self._candidatures.__contains__)
        self._asked_at: dict[str, int] = {}
        self._asked: dict[str, tuple[int, int]] = {}
        self._shards: dict[str, int] = {}
        self._resigned_at: dict[tuple[str, int], int] = {}
        self._beats = 0
        self._beat_due_at = 0
        self._news = asyncio.Event()
        self._work = asyncio.Event()
        self._leaving = False
        self._election_partitions: int | None = None

    # -- what it heard ----------------------------------------------------------------------

    def leader(self, team: str) -> Leader | None:
        """Return the team's record, as last heard."""
        return self._leaders.of.get(team)

    def granted(self, team: str) -> tuple[str | None, int]:
        """Return who was elected in `team`, and the epoch."""
        leader = self.leader(team)
        return (None, 0) if leader is None else (leader.leader, leader.epoch)

    def members(self, team: str) -> Sequence[str]:
        """Return the members of `team`, as last heard."""
        leader = self.leader(team)
        return () if leader is None else leader.members

    def hosts(self, team: str, agent: str) -> Sequence[str]:
        """Return the members that host an agent of `team`, as last heard."""
        leader = self.leader(team)
        return () if leader is None else leader.hosts.get(agent, ())

    async def news(self) -> None:
        """Wait until something was heard."""
        await self._news.wait()

    async def joined(self) -> None:
        """Wait until every team lists this member."""
        while self._unlisted:
            await self.news()

    def is_listed(self, team: str) -> bool:
        """Whether `team` has this member, as last heard."""
        return self.member in self.members(team)

    def asked(self, team: str) -> tuple[int, int] | None:
        """Return partition and offset of the last request to join `team`."""
        return self._asked.get(team)

    # -- what it does -----------------------------------------------------------------------

    async def listen(self) -> None:
        """Follow the leaders of all teams, whatever becomes of the bus meanwhile."""
        while True:
            try:
                async for leader in follow_leaders(self._bus, self._leaders):
                    self._tell_news(leader)
            except BusError as error:
                logger.warning("who leads cannot be read: %s", error)
                await asyncio.sleep(RETRY_S)

    def _tell_news(self, leader: Leader) -> None:
        if self.member in leader.members:
            self._unlisted.discard(leader.team)
        elif leader.team not in self._unlisted:
            self._unlisted.add(leader.team)
            self._work.set()
        if leader.successor is not None:
            self._work.set()
        told, self._news = self._news, asyncio.Event()
        told.set()

    async def keep_session(self) -> None:
        """Join, then beat three times a ttl, and join again when no longer listed."""
        while not self._leaving:
            try:
                await self._do_what_is_due()
            except BusError as error:
                logger.warning("a beat was not sent: %s", error)
                await asyncio.sleep(min(RETRY_S, self._ttl_ms / 1000 / BEATS_PER_TTL))
            await self._pause()

    async def _pause(self) -> None:
        """Wait until there is something to do."""
        wait_ms = self._beat_due_at - self._clock.monotonic()
        if wait_ms > 0:
            try:
                async with asyncio.timeout(wait_ms / 1000):
                    await self._work.wait()
            except TimeoutError:
                return

    async def _do_what_is_due(self) -> None:
        self._work.clear()
        now = self._clock.monotonic()
        if now >= self._beat_due_at:
            self._beat_due_at = now + self._ttl_ms // BEATS_PER_TTL
            self._beats += 1
            self.on_beat(self._beats)
            for shard in sorted({self._shards[team] for team in self._asked_at}):
                await self._say(shard, BeatSession(self.member, self._beats), self.member)
        await self._join_where_needed()
        if self._obliging:
            await self._oblige()

    async def _say(self, shard: int, message: Join | BeatSession, key: str) -> int | None:
        """Send, unless this member has said farewell: a later word would bring it back."""
        if self._leaving:
            return None
        return await self._postbox.send(ELECTION, shard, message, key)

    async def _partitions(self) -> int:
        if self._election_partitions is None:
            self._election_partitions = await partitions_of(self._bus, ELECTION)
        return self._election_partitions

    async def shard_of(self, team: str) -> int:
        """Return the election's shard that `team` belongs to.

        Raises:
            UnknownTopic: there is no election on this bus.
        """
        if team not in self._shards:
            self._shards[team] = partition_of(team, await self._partitions())
        return self._shards[team]

    async def _join_where_needed(self) -> None:
        now = self._clock.monotonic()
        teams = [team for team in self._unlisted if self._is_to_join(team, now)]
        needed = [each for team in sorted(teams) if (each := self._candidatures.get(team))]
        for first in range(0, len(needed), SENDS_AT_ONCE):
            joins = [self._join(each) for each in needed[first : first + SENDS_AT_ONCE]]
            for outcome in await asyncio.gather(*joins, return_exceptions=True):
                if isinstance(outcome, BaseException):
                    raise outcome

    def _is_to_join(self, team: str, now: int) -> bool:
        asked_at = self._asked_at.get(team)
        return asked_at is None or now - asked_at >= self._ttl_ms

    async def _join(self, candidature: Candidature) -> None:
        team = candidature.team
        shard = await self.shard_of(team)
        self._asked_at[team] = self._clock.monotonic()
        join = Join(
            team,
            self.member,
            self._node,
            self._ttl_ms,
            candidature.priority,
            candidature.agents,
            dict(candidature.labels),
            candidature.version,
            self._clock.now(),
            self._beats,
        )
        offset = await self._say(shard, join, team)
        if offset is not None:
            self._asked[team] = (shard, offset)
        if team not in self._candidatures:
            await self._postbox.send(ELECTION, shard, Leave(self.member, team), self.member)

    async def _oblige(self) -> None:
        now = self._clock.monotonic()
        for leader in list(self._leaders.of.values()):
            if leader.leader != self.member or leader.successor is None:
                continue
            resigned_at = self._resigned_at.get((leader.team, leader.epoch))
            if resigned_at is None or now - resigned_at >= self._ttl_ms:
                self._resigned_at[leader.team, leader.epoch] = now
                await self.resign(leader.team, leader.epoch, leader.successor)

    # -- coming and going -------------------------------------------------------------------

    def enter(self, candidature: Candidature) -> None:
        """Take part in one more team from now on."""
        self._candidatures[candidature.team] = candidature
        self._unlisted.add(candidature.team)
        self._asked_at.pop(candidature.team, None)
        self._asked.pop(candidature.team, None)
        self._work.set()

    async def withdraw(self, team: str) -> None:
        """Leave one team, and stay in the others.

        Raises:
            BusError: it may not be known; the membership then ends with the session.
        """
        self._candidatures.pop(team, None)
        self._unlisted.discard(team)
        self._asked_at.pop(team, None)
        self._leaders.forget(team)
        await self._tell(team, Leave(self.member, team), self.member)

    async def resign(self, team: str, epoch: int, to: str | None = None) -> int:
        """Hand `team` over, and stay its member; the offset of the request.

        Raises:
            BusError: it may or may not have been sent.
        """
        return await self._tell(team, ResignLeadership(team, self.member, epoch, to), team)

    async def _tell(self, team: str, message: object, key: str) -> int:
        return await self._postbox.send(ELECTION, await self.shard_of(team), message, key)

    async def leave(self) -> None:
        """Say farewell, so that nobody has to wait for the session to expire."""
        self._leaving = True
        self._work.set()
        try:
            shards = {await self.shard_of(team) for team in (*self._candidatures, *self._asked_at)}
            for shard in sorted(shards):
                await self._postbox.send(ELECTION, shard, Leave(self.member), self.member)
        except BusError as error:
            logger.warning("left without a word: %s", error)

    async def close(self) -> None:
        """Let go of what it sends with."""
        await self._postbox.close()
