"""Which processes run a service, and which of its shards each of them follows to the end.

They tell each other by gossip. It decides nothing: who is not heard of only claims a little later
and is not handed a shard, so that all this may be lost, or late, or wrong.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass

import orjson

from folkmoot.bus.ports import Gossip, Gossiped
from folkmoot.contracts import subjects
from folkmoot.runtime.clock import Clock
from folkmoot.runtime.timing import Timing

MEMBERS_MAX = 1_000
"""Members remembered: far more replicas than any service has, little memory if names are forged."""

PRESENT_TTLS = 2
"""How long a member is remembered that is not heard: two of its words may be lost in any ttl."""

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class _Heard:
    following: frozenset[int]
    at: int


class Presence:
    """What one member says of itself and has heard of the others of its service."""

    def __init__(
        self,
        service: str,
        member: str,
        gossip: Gossip,
        clock: Clock,
        timing: Timing,
        following: Callable[[], Collection[int]],
    ) -> None:
        self.member = member
        self._subject = subjects.presence(service)
        self._gossip, self._clock, self._timing = gossip, clock, timing
        self._following = following
        self._heard: dict[str, _Heard] = {}
        self._left = False
        self.on_leave: Callable[[str], None] = lambda _member: None
        """Told of each member that says that it leaves."""

    # -- what is known ----------------------------------------------------------------------

    def members(self) -> Sequence[str]:
        """Return the members that are present, this one among them."""
        since = self._clock.monotonic() - PRESENT_TTLS * self._timing.ttl_ms
        return [self.member, *(name for name, heard in self._heard.items() if heard.at >= since)]

    def follows(self, member: str, partition: int) -> bool:
        """Whether `member` said within a ttl that it has read the shard to its end.

        Who led before and died may still count as present when its successor has had its tenure.
        """
        heard = self._heard.get(member)
        if heard is None or self._clock.monotonic() - heard.at > self._timing.ttl_ms:
            return False
        return partition in heard.following

    # -- telling and hearing ----------------------------------------------------------------

    async def run(self) -> None:
        """Tell and listen for as long as this runs."""
        subscription = await self._gossip.subscribe(self._subject, self._hear)
        try:
            while True:
                if not self._left:
                    await self._tell(sorted(self._following()))
                self._forget()
                await asyncio.sleep(self._timing.beat_ms / 1000)
        finally:
            await subscription.close()

    async def leave(self) -> None:
        """Say that this member is not to be counted on any more, and nothing after that."""
        self._left = True
        await self._tell(None)

    async def _tell(self, following: list[int] | None) -> None:
        word = {"member": self.member, "following": following}
        await self._gossip.publish(self._subject, orjson.dumps(word))

    async def _hear(self, message: Gossiped) -> None:
        try:
            word = orjson.loads(message.data)
            member, following = str(word["member"]), word["following"]
            numbers = frozenset(map(int, following or ()))
        except (ValueError, TypeError, KeyError):
            logger.warning("no word of a member on %s: %.100r", self._subject, message.data)
            return
        if member == self.member:
            return
        if following is None:
            self._heard.pop(member, None)
            self.on_leave(member)
        elif member in self._heard or len(self._heard) < MEMBERS_MAX:
            self._heard[member] = _Heard(numbers, self._clock.monotonic())

    def _forget(self) -> None:
        present = set(self.members())
        self._heard = {name: heard for name, heard in self._heard.items() if name in present}
