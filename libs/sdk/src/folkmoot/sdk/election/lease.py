"""What a leader holds: a lease that ends by the clock, whatever the event loop is doing.

A lease is good until a moment on this machine's own clock: a session's ttl, less a margin, counted
from *before* the last beat was sent that the election's log is known to have recorded. Nobody else
can be elected before that moment, unless the leader itself resigned. So

- `remaining` and `check` read the clock, and a loop that was stalled finds the lease lost;
- a watchdog thread marks it lost in time, for whoever cannot ask because the loop stands still;
- what is lost stays lost: a confirmation that comes late brings nothing back.

No lease makes it certain that a paused process stops in time. Give `epoch` to whatever the leader
acts on, and have it refuse what comes with a lower one.
"""

from __future__ import annotations

import asyncio
import logging
import threading
import time
from collections.abc import Callable, Generator
from typing import Any

from folkmoot.sdk.errors import LeadershipLost

MARGIN_DIVISOR = 10
"""The margin is a ttl divided by this: what the rates of two clocks may differ by, and a tick."""

OnLost = Callable[[str], None]

logger = logging.getLogger("folkmoot.election")


def elapsed_ms() -> int:
    """Return milliseconds since the machine was started, those it was suspended for included."""
    clock = getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC)
    return time.clock_gettime_ns(clock) // 1_000_000


class Lost:
    """That a lease is lost: an event for threads, and for `await`. Its value is the reason."""

    def __init__(self) -> None:
        self._event = threading.Event()
        self._lock = threading.Lock()
        self._listeners: list[OnLost] = []
        self.reason = ""

    def is_set(self) -> bool:
        """Whether it is lost."""
        return self._event.is_set()

    def wait(self, timeout_s: float | None = None) -> bool:
        """Block this thread until it is lost, or for `timeout_s`; whether it is."""
        return self._event.wait(timeout_s)

    def __await__(self) -> Generator[Any, None, str]:
        return self._wait().__await__()

    async def _wait(self) -> str:
        loop = asyncio.get_running_loop()
        told: asyncio.Future[None] = loop.create_future()
        self.tell(lambda _: call_in(loop, lambda: _resolve(told)))
        await told
        return self.reason

    def tell(self, listener: OnLost) -> None:
        """Have `listener` called once when it is lost, in whatever thread finds out; or now."""
        with self._lock:
            if not self._event.is_set():
                self._listeners.append(listener)
                return
        listener(self.reason)

    def set(self, reason: str) -> None:
        """It is lost, for this reason; only the first counts."""
        with self._lock:
            if self._event.is_set():
                return
            self.reason = reason
            self._event.set()
            listeners, self._listeners = self._listeners, []
        for listener in listeners:
            _call(listener, reason)


def _resolve(told: asyncio.Future[None]) -> None:
    if not told.done():
        told.set_result(None)


def _call(listener: OnLost, reason: str) -> None:
    try:
        listener(reason)
    except Exception:
        logger.exception("what was to be done at the loss of a lease failed")


def call_in(loop: asyncio.AbstractEventLoop, work: Callable[[], object]) -> None:
    """Have `loop` do `work`; a loop that is closed has nobody left to tell."""
    try:
        loop.call_soon_threadsafe(work)
    except RuntimeError:
        logger.debug("a lease was lost after its event loop was closed")


class Lease:
    """Leadership of one team in one epoch."""

    def __init__(self, team: str, epoch: int, until: int, now: Callable[[], int]) -> None:
        self.team, self.epoch = team, epoch
        self.lost = Lost()
        self.successor: str | None = None
        self._until, self._now = until, now

    @property
    def until(self) -> int:
        """The moment at which it ends unless it is extended."""
        return self._until

    def remaining(self) -> float:
        """Return for how many seconds it is good if nothing more is heard; 0 if it is lost."""
        left_ms = self._until - self._now()
        return 0.0 if self.lost.is_set() or left_ms <= 0 else left_ms / 1000

    def check(self) -> None:
        """Return if this is still the leader's; call it before everything that has an effect.

        Raises:
            LeadershipLost: it is not, and will not be again.
        """
        self.expire()
        if self.lost.is_set():
            raise LeadershipLost(self.team, self.epoch, self.lost.reason)

    def expire(self) -> None:
        """Mark it lost if its time is over."""
        if not self.lost.is_set() and self._now() >= self._until:
            self.lost.set("the election did not confirm the session in time")

    def extend(self, until: int) -> None:
        """Let it last until `until`, unless it is lost or lasts longer already."""
        self.expire()
        self._until = max(self._until, until)


class Watchdog:
    """A thread that marks leases lost in time, also while the event loop is stalled."""

    def __init__(self, now: Callable[[], int] = elapsed_ms) -> None:
        self._now = now
        self._changed = threading.Condition()
        self._leases: set[Lease] = set()
        self._thread: threading.Thread | None = None
        self._closed = False

    def watch(self, lease: Lease) -> None:
        """Watch over `lease` until it is lost. Its end may be put off by `extend` meanwhile."""
        with self._changed:
            self._leases.add(lease)
            if self._thread is None:
                self._thread = threading.Thread(
                    target=self._run, name="folkmoot-leases", daemon=True
                )
                self._thread.start()
            self._changed.notify()

    def close(self) -> None:
        """End the thread, and lose what is still held: nobody would notice any more."""
        with self._changed:
            self._closed = True
            self._changed.notify()
        if self._thread is not None:
            self._thread.join()
        for lease in self._leases:
            lease.lost.set("this member has left the election")

    def _run(self) -> None:
        while True:
            with self._changed:
                if self._closed:
                    return
                self._leases = {lease for lease in self._leases if not lease.lost.is_set()}
                leases = list(self._leases)
                self._changed.wait(self._patience_s(leases))
            for lease in leases:
                lease.expire()

    def _patience_s(self, leases: list[Lease]) -> float | None:
        """Return until when no lease can end; one that is extended is only looked at too soon."""
        if not leases:
            return None
        return max(0, min(lease.until for lease in leases) - self._now()) / 1000
