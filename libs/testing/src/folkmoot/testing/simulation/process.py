"""A simulated process: its tasks, its clock, and how it can end."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from contextvars import Context
from typing import Any

from folkmoot.testing.simulation.loop import NOBODY, OWNER, SimulatedLoop
from folkmoot.testing.virtual_time import EPOCH_MS


class Process:
    """One incarnation of a process. It implements `Clock` for the code that it runs.

    Its monotonic clock begins anywhere and runs at `rate`; its wall clock is wrong by `skew_ms`. If
    it is `outdated`, its program is of an older version than others.
    """

    def __init__(self, loop: SimulatedLoop, name: str, booted_s: float, skew_ms: int) -> None:
        self.loop, self.name, self.skew_ms = loop, name, skew_ms
        self.paused = self.dead = self.leaving = False
        self.outdated = False
        self.replicas: list[Any] = []
        self.stop: Callable[[], None] = lambda: None
        self._context = NOBODY.copy()
        self._context.run(OWNER.set, self)
        self._held: list[asyncio.Handle] = []
        self._rate, self._since, self._local = 1.0, loop.now, booted_s
        self._booted_wall_ms = EPOCH_MS + 1000 * (loop.now - booted_s)
        self.main: asyncio.Task[None] | None = None

    # -- what the loop asks

    @property
    def frozen(self) -> bool:
        """Whether nothing of it may run now."""
        return self.paused or self.dead

    def hold(self, handle: asyncio.Handle) -> None:
        """Keep what became ready while frozen."""
        self._held.append(handle)

    def local_time(self) -> float:
        """Return the seconds on its monotonic clock."""
        return self._local + (self.loop.now - self._since) * self._rate

    def true_time(self, local: float) -> float:
        """Return when its clock shows `local`, in seconds of the loop."""
        return self._since + (local - self._local) / self._rate

    # -- its clock

    def monotonic(self) -> int:
        """See `Clock`."""
        return round(self.local_time() * 1000)

    def now(self) -> int:
        """See `Clock`."""
        return round(self._booted_wall_ms + self.local_time() * 1000) + self.skew_ms

    def run_at(self, rate: float) -> None:
        """Let its clock run at `rate` from now on; what is scheduled already is not moved."""
        self._local, self._since = self.local_time(), self.loop.now
        self._rate = rate

    # -- its life

    @property
    def alive(self) -> bool:
        """Whether it has not ended, though it may be paused."""
        return not self.dead and self.main is not None and not self.main.done()

    @property
    def runs(self) -> bool:
        """Whether it is alive, not paused, and not about to leave."""
        return self.alive and not self.paused and not self.leaving

    def begin(self, work: Coroutine[Any, Any, None]) -> None:
        """Run `work` as this process."""
        self.main = self.spawn(work)

    def spawn(self, work: Coroutine[Any, Any, Any]) -> asyncio.Task[Any]:
        """Run `work` as a further task of this process."""
        return self.loop.create_task(work, name=self.name, context=self._context.copy())

    def call(self, function: Callable[..., Any], *args: Any) -> Any:
        """Call a function as this process would."""
        context: Context = self._context.copy()
        return context.run(function, *args)

    def pause(self) -> None:
        """Stop it where it is, as SIGSTOP does. Its clocks go on."""
        self.paused = True

    def resume(self) -> None:
        """Let it go on as if nothing had happened, as SIGCONT does."""
        self.paused = False
        self._release()

    def kill(self) -> None:
        """End it without a word, as SIGKILL does: not even `finally` runs."""
        self.dead = True

    def bury(self) -> None:
        """Let what is left of its tasks end, when the world is over and nothing counts any more."""
        self.dead = self.paused = False
        self._release()

    def _release(self) -> None:
        held, self._held = self._held, []
        for handle in held:
            self.loop.ready(handle)
