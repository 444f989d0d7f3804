"""What a process does about traces: its leaders export the spans that their logs tell.

Every replica computes the same spans, with the same ids. The leader exports them once they are
committed, and says by gossip up to which entry it has. The others keep what it has not said so of;
whoever follows on a leader that did not resign exports that. So a fail-over neither tears a trace
nor, while gossip is heard, doubles a span; a span that is exported twice is the same, bit for bit.

Bounded: `WITNESSED_MAX` entries of a shard, for `WITNESSED_MS`.
"""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import Callable, Coroutine, Sequence
from typing import TYPE_CHECKING, Any

import orjson

from folkmoot.bus.ports import Bus, BusError, Gossiped
from folkmoot.contracts import subjects
from folkmoot.core.kernel import Machine, Resign
from folkmoot.core.kernel.machine import S
from folkmoot.core.tracing import Projection, Sampler, Span, SpansEnded, Traced
from folkmoot.runtime.clock import Clock
from folkmoot.runtime.seat import Role
from folkmoot.runtime.settings import Settings
from folkmoot.runtime.sheet import Sheet

if TYPE_CHECKING:
    from folkmoot.runtime.otlp import SpanSender

WITNESSED_MAX = 2_000
"""Entries with spans that a standby keeps of its leader: far more than one leaves unsent."""

WITNESSED_MS = 30_000
"""What ended longer ago than this was sent, or dropped: not even an outage keeps it so long."""

TELL_EVERY_S = 0.25
FAREWELL_S = 2.0
"""For sending what is left, when the process stops: less than it is given to stop in."""

logger = logging.getLogger(__name__)

Job = Callable[[], Coroutine[Any, Any, None]]


class Tracing:
    """The traces of one process's shards. Without a `sender` nothing is exported, nor computed."""

    def __init__(
        self, service: str, bus: Bus, clock: Clock, sampler: Sampler, sender: SpanSender | None
    ) -> None:
        self.sampler, self.sender = sampler, sender
        self._bus, self._clock = bus, clock
        self._subject = subjects.traces(service)
        self._recorders: dict[str, Recorder] = {}
        self._told: dict[str, int] = {}

    @property
    def jobs(self) -> Sequence[Job]:
        """What runs beside the replicas."""
        return () if self.sender is None else (self.sender.run, self.listen, self.tell)

    @property
    def unsent(self) -> int:
        """Entries of other leaders whose spans are not known to be sent."""
        return sum(each.unsent for each in self._recorders.values())

    def recorder(self, origin: str, projection: Projection[Any]) -> Recorder:
        """Return what exports the spans that `projection` tells of the shard `origin`."""
        made = Recorder(origin, self._clock, self.sender, projection)
        self._recorders[origin] = made
        return made

    def export(self, span: Span) -> None:
        """Export a span that no log tells."""
        if self.sender is not None:
            self.sender.put([span])

    def measure(self, sheet: Sheet) -> None:
        """Tell what became of this process's spans."""
        sheet.put("spans_exported_total", 0 if self.sender is None else self.sender.exported)
        sheet.put("spans_dropped_total", 0 if self.sender is None else self.sender.dropped)

    async def close(self) -> None:
        """Send what is left, and say so."""
        if self.sender is None:
            return
        try:
            async with asyncio.timeout(FAREWELL_S):
                await self.sender.flush()
                await self._tell()
        except (TimeoutError, BusError) as problem:
            logger.warning("the last spans were perhaps not sent: %r", problem)

    # -- what leaders tell each other -------------------------------------------------------

    async def tell(self) -> None:
        """Say how far the spans of the shards led here are sent, for as long as this runs."""
        while True:
            await asyncio.sleep(TELL_EVERY_S)
            await self._tell()

    async def _tell(self) -> None:
        sent = {each.origin: each.sent for each in self._recorders.values() if each.sent >= 0}
        if sent != self._told:
            await self._bus.gossip.publish(self._subject, orjson.dumps(sent))
            self._told = sent

    async def listen(self) -> None:
        """Hear how far others have sent, for as long as this runs."""
        subscription = await self._bus.gossip.subscribe(self._subject, self._hear)
        try:
            await asyncio.Event().wait()
        finally:
            await subscription.close()

    async def _hear(self, message: Gossiped) -> None:
        try:
            for origin, offset in orjson.loads(message.data).items():
                if (recorder := self._recorders.get(origin)) is not None:
                    recorder.forget(int(offset))
        except (ValueError, TypeError, AttributeError):
            logger.warning("no word of a leader on %s", self._subject)


class Recorder:
    """The spans of one shard, as this process leads it or follows. Without a sender, of none."""

    def __init__(
        self,
        origin: str,
        clock: Clock,
        sender: SpanSender | None = None,
        projection: Projection[Any] | None = None,
    ) -> None:
        self.origin, self.sent = origin, -1
        self._clock, self._sender, self._projection = clock, sender, projection
        self._witnessed: deque[SpansEnded] = deque(maxlen=WITNESSED_MAX)

    def traced(self, machine: Machine[S]) -> Machine[S]:
        """Return the machine, which tells its spans if they are exported."""
        if self._sender is None or self._projection is None:
            return machine
        return Traced(machine, self._projection)

    def performing(self, on_local: Callable[[object], None]) -> Callable[[object], None]:
        """Return what a leader's local requests are given to: spans here, all others there."""
        if self._sender is None:
            return on_local

        def perform(request: object) -> None:
            if isinstance(request, SpansEnded):
                self._export(request)
            else:
                on_local(request)

        return perform

    @property
    def on_witnessed(self) -> Callable[[object], None] | None:
        """What the local requests of other leaders are given to."""
        return None if self._sender is None else self._witness

    def on_role(self, role: Role) -> None:
        """Export what the leader before has perhaps not, on beginning to lead."""
        if role is not Role.LEADING:
            return
        since = self._clock.now() - WITNESSED_MS
        for request in self._witnessed:
            if request.spans[-1].ended_at >= since:
                self._export(request)
        self._witnessed.clear()

    @property
    def unsent(self) -> int:
        """Entries of other leaders whose spans are not known to be sent."""
        return len(self._witnessed)

    def forget(self, offset: int) -> None:
        """The spans of the entries up to `offset` are sent."""
        while self._witnessed and self._witnessed[0].offset <= offset:
            self._witnessed.popleft()

    def _witness(self, request: object) -> None:
        if isinstance(request, SpansEnded):
            self._witnessed.append(request)
        elif isinstance(request, Resign):
            self._witnessed.clear()

    def _export(self, request: SpansEnded) -> None:
        assert self._sender is not None
        self._sender.put(request.spans, lambda: self._note(request.offset))

    def _note(self, offset: int) -> None:
        self.sent = max(self.sent, offset)


def tracing(service: str, bus: Bus, settings: Settings, clock: Clock) -> Tracing:
    """Return the traces of a process of `service`, as the settings want them."""
    sender = None
    if settings.otlp_endpoint:
        from folkmoot.runtime.otlp import (
            SpanSender,
            exporter,
            resource,
        )  # costs a tenth of a second

        system = "kafka" if bus.address.startswith("kafka") else "sqlite"
        sender = SpanSender(exporter(settings.otlp_endpoint), resource(service), system)
    return Tracing(service, bus, clock, Sampler(settings.trace_ratio), sender)
