"""`client.team(...)`: leadership for programs that want nothing else of Folkmoot.

```python
team = client.team("reports")
async with team.leadership() as lease:      # waits until this program leads
    while True:
        lease.check()                       # before everything that only a leader may do
        await publish(report, epoch=lease.epoch)
```
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Generator, Mapping, Sequence
from typing import Any

from folkmoot.bus.ports import Bus
from folkmoot.core.messages import ConfigureTeam, Leader, Policy
from folkmoot.sdk.election.candidate import Candidate
from folkmoot.sdk.election.configuring import configure_team
from folkmoot.sdk.election.leaders import follow_leaders, read_leaders
from folkmoot.sdk.election.lease import Lease, OnLost, call_in
from folkmoot.sdk.election.membership import Candidature
from folkmoot.sdk.errors import LeadershipLost


class ElectedTeam:
    """A team, for a program that may want to lead it, or to know who does."""

    def __init__(self, bus: Bus, candidate: Candidate, candidature: Candidature) -> None:
        self._bus, self._candidate, self._candidature = bus, candidate, candidature
        self.name = candidature.team

    def leadership(self, on_lost: OnLost | None = None) -> Leadership:
        """Stand for election, and lead when elected.

        `async with` cancels its body when the lease is lost, and raises `LeadershipLost` after
        it; when the body ends, the team is left. `await` only returns the lease, to be given to
        `release` or `hand_over` in the end.

        `on_lost` is called once with the reason when the lease is lost, in whatever thread finds
        out: if the event loop is stalled, in another one. `os._exit` may well be what it does.

        Raises:
            ElectionRefused: the election does not take this program, and says why.
            BusError: the election cannot be reached now.
        """
        return Leadership(self._candidate, self._candidature, on_lost)

    async def release(self, lease: Lease) -> None:
        """Lead no more; the next leader is elected at once."""
        await self._candidate.release(lease)

    async def hand_over(self, lease: Lease, to: str | None = None) -> None:
        """Lead no more, and have the member `to` lead, or whom the team's rules want.

        Raises:
            LeadershipLost: it was lost before.
            ElectionRefused: `to` is not a member, and the lease is kept; or nobody could follow.
        """
        await self._candidate.hand_over(lease, to)

    async def configure(
        self,
        policy: Policy = "sticky",
        *,
        preferred: Sequence[str] = (),
        labels: Mapping[str, str] | None = None,
        version_min: str = "",
        tenure_s: float = 10.0,
        actor: str = "",
    ) -> None:
        """Say whom the team wants as its leader; see `folkmoot.core.messages.ConfigureTeam`.

        Raises:
            ElectionRefused: that cannot be, or nobody ever joined the team; nothing was changed.
            NoAnswer: the election did not answer in time.
        """
        tenure_ms = round(tenure_s * 1000)
        rules = (policy, tuple(preferred), dict(labels or {}), version_min, tenure_ms)
        message = ConfigureTeam(self.name, *rules, actor or self._candidate.member)
        await configure_team(self._bus, message, self._candidate.clock)

    async def leader(self) -> Leader | None:
        """Return who leads now, and since when; None if the team was never heard of."""
        return (await read_leaders(self._bus)).get(self.name)

    async def leaders(self) -> AsyncIterator[Leader]:
        """Yield who leads now, and then whenever the leader or the members change."""
        async for leader in follow_leaders(self._bus):
            if leader.team == self.name:
                yield leader


class Leadership:
    """A wish to lead: `async with` it, or `await` it."""

    def __init__(
        self, candidate: Candidate, candidature: Candidature, on_lost: OnLost | None
    ) -> None:
        self._candidate, self._candidature, self._on_lost = candidate, candidature, on_lost
        self._lease: Lease | None = None
        self._cancelled = False

    def __await__(self) -> Generator[Any, None, Lease]:
        return self._lead().__await__()

    async def _lead(self) -> Lease:
        lease = await self._candidate.lead(self._candidature)
        if self._on_lost is not None:
            lease.lost.tell(self._on_lost)
        return lease

    async def __aenter__(self) -> Lease:
        lease = await self._lead()
        loop, task = asyncio.get_running_loop(), asyncio.current_task()
        assert task is not None
        self._lease, self._task, self._cancelling = lease, task, task.cancelling()
        lease.lost.tell(lambda _: call_in(loop, self._cancel))
        return lease

    def _cancel(self) -> None:
        """Stop the body, unless it has ended."""
        if self._lease is not None:
            self._cancelled = True
            self._task.cancel()

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, _: object
    ) -> None:
        assert self._lease is not None
        lease, self._lease = self._lease, None
        lost_first = self._cancelled and self._task.uncancel() <= self._cancelling
        reason = lease.lost.reason
        await self._candidate.release(lease)
        if lost_first and kind is asyncio.CancelledError:
            raise LeadershipLost(lease.team, lease.epoch, reason) from error
