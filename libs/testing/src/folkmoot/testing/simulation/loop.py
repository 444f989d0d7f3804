"""Virtual time that each simulated process sees in its own way.

One event loop runs all processes. What a task schedules belongs to the process whose context it
runs in, so that a process can be stopped between any two steps, and can have a clock that is wrong.

Invariants:

- A process that is paused or dead runs no code at all, not even its `finally` blocks.
- Time passes only when nobody has anything to do.
- No socket or thread takes part. What is meant for a thread is done at once, in no time.
"""

from __future__ import annotations

import asyncio
import heapq
from collections.abc import Callable
from contextvars import Context, ContextVar, copy_context
from typing import Any, Protocol

from folkmoot.testing.virtual_time import Stuck, VirtualLoop

STEPS_WITHOUT_TIME_MAX = 200_000
"""Steps in one instant; more is a loop that never waits."""


class Owner(Protocol):
    """A process, as the loop needs to know it."""

    @property
    def frozen(self) -> bool:
        """Whether nothing of it may run now."""
        ...

    def hold(self, handle: asyncio.Handle) -> None:
        """Keep what became ready while frozen."""
        ...

    def local_time(self) -> float:
        """Return the seconds on its monotonic clock."""
        ...

    def true_time(self, local: float) -> float:
        """Return when its clock shows `local`, in seconds of the loop."""
        ...


OWNER: ContextVar[Owner | None] = ContextVar("owner", default=None)
NOBODY = Context()
"""The context of what belongs to no process: the broker, the network, the faults."""


class _Owned:
    """Runs only while its owner may."""

    __slots__ = ()

    def _run(self: Any) -> None:
        owner = self._context.get(OWNER)
        if owner is not None and owner.frozen:
            owner.hold(self)
        else:
            super()._run()  # type: ignore[misc]


class _Handle(_Owned, asyncio.Handle):
    pass


class _Timer(_Owned, asyncio.TimerHandle):
    pass


class SimulatedLoop(VirtualLoop):
    """A loop for many processes. `now` is the true time, in seconds since it began."""

    def __init__(self) -> None:
        super().__init__()
        self._selected.select = self._pass_time  # type: ignore[method-assign]
        self._steps = 0
        self.over = False
        """Whether the world has ended, so that nothing counts any more."""

    @property
    def now(self) -> float:
        """The true time."""
        return self._selected.now

    def time(self) -> float:
        """Return the seconds that the present process's clock shows."""
        owner = OWNER.get()
        return self._selected.now if owner is None else owner.local_time()

    def _pass_time(self, timeout: float | None = None) -> list[Any]:
        if timeout is None:
            raise Stuck("nothing is scheduled, and nobody is ready")
        self._steps = 0 if timeout else self._steps + 1
        if self._steps > STEPS_WITHOUT_TIME_MAX:
            raise Stuck(f"{STEPS_WITHOUT_TIME_MAX:,} steps and no time has passed")
        self._selected.now += timeout
        return []

    def call_soon(  # type: ignore[override]
        self, callback: Callable[..., Any], *args: Any, context: Context | None = None
    ) -> asyncio.Handle:
        """See asyncio."""
        handle = _Handle(callback, args, self, copy_context() if context is None else context)
        self._ready.append(handle)  # type: ignore[attr-defined]
        return handle

    def call_at(  # type: ignore[override]
        self, when: float, callback: Callable[..., Any], *args: Any, context: Context | None = None
    ) -> asyncio.TimerHandle:
        """See asyncio. `when` is by the clock of the process that asks."""
        owner = OWNER.get()
        true_when = when if owner is None else owner.true_time(when)
        context = copy_context() if context is None else context
        return self._at(true_when, callback, args, context)

    def later(self, delay_s: float, callback: Callable[..., Any], *args: Any) -> asyncio.Handle:
        """Call back after `delay_s` of true time, on nobody's behalf."""
        return self._at(self.now + delay_s, callback, args, NOBODY)

    def _at(
        self, when: float, callback: Callable[..., Any], args: tuple[Any, ...], context: Context
    ) -> asyncio.TimerHandle:
        timer = _Timer(when, callback, args, self, context)
        heapq.heappush(self._scheduled, timer)  # type: ignore[attr-defined]
        timer._scheduled = True  # type: ignore[attr-defined]
        return timer

    def run_in_executor(  # type: ignore[override]
        self, executor: object, func: Callable[..., Any], *args: Any
    ) -> asyncio.Future[Any]:
        """See asyncio."""
        done = self.create_future()
        try:
            done.set_result(func(*args))
        except Exception as error:
            done.set_exception(error)
        return done

    def ready(self, handle: asyncio.Handle) -> None:
        """Let a handle that was held run now."""
        self._ready.append(handle)  # type: ignore[attr-defined]
