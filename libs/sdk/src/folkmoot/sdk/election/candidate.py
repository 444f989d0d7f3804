"""A program that stands for election in any number of teams, and holds leases on those it leads.

A lease is granted when the team's record says that this member leads, and the election's log says
that its session is good; it is extended by every beat that the log confirms, and lost with the
session, at the word that another leads, or by the clock. Whoever loses a lease has left the team,
and stands again only when asked to.
"""

from __future__ import annotations

import asyncio
import logging
import os
import socket
from collections.abc import Awaitable, Callable

from folkmoot.bus.ports import Bus, BusError
from folkmoot.core.kernel import NOTHING
from folkmoot.runtime.clock import Clock
from folkmoot.sdk.election.confirming import Answered, Confirmations, Confirmed, Deposed, Ended
from folkmoot.sdk.election.lease import MARGIN_DIVISOR, Lease, Watchdog, call_in, elapsed_ms
from folkmoot.sdk.election.membership import Candidature, Membership
from folkmoot.sdk.errors import ElectionRefused

SESSION_TTL_MS = 1_500
"""Longer than a garbage collection or a busy moment of the event loop, and than a broker's."""

BEATS_REMEMBERED = 64
"""Beats whose sending is remembered until they are confirmed: far more than a ttl has."""

ANSWERS_REMEMBERED = 1_000
"""Rejections by the election, of anybody's requests, that may turn out to be of an own one."""

logger = logging.getLogger("folkmoot.election")


class Candidate:
    """One member of the election. `now` is the clock that leases end by."""

    def __init__(
        self,
        bus: Bus,
        clock: Clock,
        *,
        node: str | None = None,
        session_ttl_ms: int = SESSION_TTL_MS,
        now: Callable[[], int] = elapsed_ms,
    ) -> None:
        node = node or socket.gethostname()
        self.member = f"{node}-{os.getpid()}-{os.urandom(3).hex()}"
        self.clock, self._now, self._ttl_ms = clock, now, session_ttl_ms
        self.membership = Membership(bus, clock, self.member, node, session_ttl_ms)
        self.membership.on_beat = self._note_beat
        self._confirmations = Confirmations(bus, self.member, self._hear)
        self._watchdog = Watchdog(now)
        self._jobs: list[asyncio.Task[None]] = []
        self._sent_at: dict[int, int] = {}
        self._horizons: dict[int, int] = {}
        self._ended: dict[int, int] = {}
        self._deposed: dict[str, int] = {}
        self._rejections: dict[tuple[int, int], Answered] = {}
        self._refusals: dict[str, Answered] = {}
        self._shards: dict[str, int] = {}
        self._standing: set[str] = set()
        self._leases: dict[str, Lease] = {}
        self._departing: dict[str, asyncio.Task[None]] = {}
        self._changed = asyncio.Event()
        self._closed = False

    # -- standing and leading ---------------------------------------------------------------

    async def lead(self, candidature: Candidature) -> Lease:
        """Join the team, wait until this member leads it, and return the lease.

        Raises:
            ElectionRefused: the election does not take the candidature, and says why; or this
                program stands in that team already.
            BusError: the election cannot be reached now.
        """
        team = candidature.team
        await self._departed(team)
        if team in self._standing:
            raise ElectionRefused("already-standing", f"this program stands in {team!r} already")
        self._standing.add(team)
        try:
            self._shards[team] = shard = await self.membership.shard_of(team)
            await self._confirmations.follow(shard)
        except BaseException:
            self._standing.discard(team)
            raise
        try:
            self._begin()
            self.membership.enter(candidature)
            return await self._granted(team, shard)
        except BaseException:
            await asyncio.shield(self._depart(team))
            raise

    def _begin(self) -> None:
        if not self._jobs:
            jobs = (self.membership.listen(), self.membership.keep_session(), self._heed_news())
            self._jobs = [asyncio.create_task(job) for job in jobs]

    async def _granted(self, team: str, shard: int) -> Lease:
        while (epoch := self._epoch(team, shard)) is None or not self._is_confirmed(shard):
            self._check_taken(team)
            await self._changed.wait()
        self._leases[team] = lease = Lease(team, epoch, self._horizons[shard], self._now)
        loop = asyncio.get_running_loop()
        lease.lost.tell(lambda _: call_in(loop, lambda: self._forget(lease)))
        self._review()
        self._watchdog.watch(lease)
        return lease

    def _check_taken(self, team: str) -> None:
        if self._closed:
            raise ElectionRefused("closed", "the client was closed meanwhile")
        asked = self.membership.asked(team)
        if asked is not None and (answer := self._rejections.get(asked)) is not None:
            raise ElectionRefused(answer.kind, answer.detail)

    def _is_confirmed(self, shard: int) -> bool:
        return self._horizons.get(shard, 0) > self._now()

    def _epoch(self, team: str, shard: int) -> int | None:
        """Return the epoch in which this member leads, as far as it is not known to be over."""
        leader, epoch = self.membership.granted(team)
        over = max(self._ended.get(shard, NOTHING), self._deposed.get(team, NOTHING))
        return epoch if leader == self.member and epoch > over else None

    async def release(self, lease: Lease) -> None:
        """Lead no more, and leave the team; the next leader is elected at once."""
        lease.lost.set("it was released")
        await self._departed(lease.team)

    async def hand_over(self, lease: Lease, to: str | None = None) -> None:
        """Lead no more, and have `to` lead, or whom the team's rules want; then leave the team.

        Raises:
            LeadershipLost: it was lost before.
            ElectionRefused: `to` is not a member, and the lease is kept; or nobody could follow,
                and the team is left without a leader.
            BusError: it is not known; somebody leads when the session is over.
        """
        lease.check()
        if to is not None and to not in self.membership.members(lease.team):
            raise ElectionRefused("no-such-member", f"{to!r} is no member of {lease.team!r}")
        del self._leases[lease.team]
        lease.lost.set("it was handed over")
        await asyncio.shield(self._depart(lease.team, lambda: self._resign(lease, to)))

    async def _resign(self, lease: Lease, to: str | None) -> None:
        team = lease.team
        self._refusals.pop(team, None)
        await self.membership.resign(team, lease.epoch, to)
        try:
            async with asyncio.timeout(self._ttl_ms / 1000):
                while self._deposed.get(team, NOTHING) <= lease.epoch:
                    if (answer := self._refusals.pop(team, None)) is not None:
                        raise ElectionRefused(answer.kind, answer.detail)
                    await self._changed.wait()
        except TimeoutError:
            logger.warning("nothing was heard of the resignation from team %s", team)

    # -- departing --------------------------------------------------------------------------

    def _forget(self, lease: Lease) -> None:
        """Leave the team of a lease that was lost, unless that is done already."""
        if self._leases.get(lease.team) is lease:
            self._depart(lease.team)

    def _depart(
        self, team: str, last_act: Callable[[], Awaitable[None]] | None = None
    ) -> asyncio.Task[None]:
        if team not in self._departing:
            self._leases.pop(team, None)
            departing = asyncio.create_task(self._leave_team(team, last_act))
            self._departing[team] = departing
            departing.add_done_callback(lambda _: self._departing.pop(team))
        return self._departing[team]

    async def _leave_team(self, team: str, last_act: Callable[[], Awaitable[None]] | None) -> None:
        try:
            if last_act is not None:
                await last_act()
        finally:
            try:
                if not self._closed:
                    await self.membership.withdraw(team)
            except BusError as error:
                logger.warning("team %s was left without a word: %s", team, error)
            finally:
                self._standing.discard(team)

    async def _departed(self, team: str) -> None:
        """Wait until the team is left, if its lease is lost."""
        lease = self._leases.get(team)
        if lease is not None and lease.lost.is_set():
            self._depart(team)
        if team in self._departing:
            await asyncio.wait([self._departing[team]])

    async def close(self) -> None:
        """Leave all teams and stop. What is still held is lost."""
        self._closed = True
        self._watchdog.close()
        self._review()
        await asyncio.gather(*self._departing.values(), return_exceptions=True)
        if self._jobs:
            await self.membership.leave()
        for job in self._jobs:
            job.cancel()
        await asyncio.gather(*self._jobs, return_exceptions=True)
        await self._confirmations.close()
        await self.membership.close()

    # -- what it hears ----------------------------------------------------------------------

    def _note_beat(self, number: int) -> None:
        self._sent_at[number] = self._now()
        self._sent_at.pop(number - BEATS_REMEMBERED, None)

    async def _heed_news(self) -> None:
        while True:
            await self.membership.news()
            self._review()

    def _hear(self, word: Confirmed | Ended | Deposed | Answered) -> None:
        match word:
            case Confirmed(shard, beat) if beat in self._sent_at:
                horizon = self._sent_at[beat] + self._ttl_ms - self._ttl_ms // MARGIN_DIVISOR
                self._horizons[shard] = max(self._horizons.get(shard, 0), horizon)
            case Ended(shard, offset):
                self._ended[shard] = offset
                self._horizons.pop(shard, None)
            case Deposed(team, offset):
                self._deposed[team] = offset
            case Answered(shard, team="", offset=offset) if offset != NOTHING:
                self._rejections[shard, offset] = word
                if len(self._rejections) > ANSWERS_REMEMBERED:
                    del self._rejections[next(iter(self._rejections))]
            case Answered(team=team) if team:
                self._refusals[team] = word
        self._review()

    def _review(self) -> None:
        """Extend what is still good, lose what is not, and wake who waits."""
        for team, lease in list(self._leases.items()):
            shard = self._shards[team]
            if self._epoch(team, shard) != lease.epoch:
                lease.lost.set("the session ended, or another was elected")
            elif shard in self._horizons:
                lease.extend(self._horizons[shard])
            leader = self.membership.leader(team)
            lease.successor = None if leader is None else leader.successor
        told, self._changed = self._changed, asyncio.Event()
        told.set()
