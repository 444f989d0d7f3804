"""A simulated loop on which a day in which nothing happens costs nothing.

A mesh at rest still polls and beats, so that a day of virtual time would be millions of steps. What
somebody waits for is told from that: a wait that is long, or that is not Folkmoot's own. When
nothing else is going on, time leaps until shortly before the next of those. To the mesh it is as
if all of it had been suspended meanwhile, which deposes nobody and loses nothing.

Invariants:

- No wait that matters is passed by a leap.
- No leap while anything is on its way.
- What would run in a thread runs at once, so that a test does the same each time.
"""

from __future__ import annotations

import asyncio
import functools
import sys
import weakref
from collections.abc import Callable, Coroutine
from contextvars import Context, copy_context
from types import FrameType
from typing import Any, ParamSpec, TypeVar

from folkmoot.testing.simulation.loop import NOBODY, OWNER, SimulatedLoop
from folkmoot.testing.virtual_time import Stuck

P = ParamSpec("P")
T = TypeVar("T")

LONG_S = 3.0
"""A wait of Folkmoot's own that is longer is no poll and no beat: somebody set it."""

MARGIN_S = 3.0
"""How long before the next wait a leap ends, so that beats and sessions are up to date by then."""

OWN = (
    "asyncio",
    "folkmoot.agent_worker",
    "folkmoot.breaker_proxy",
    "folkmoot.bus",
    "folkmoot.contracts",
    "folkmoot.core",
    "folkmoot.election",
    "folkmoot.event_store",
    "folkmoot.runtime",
    "folkmoot.saga_orchestrator",
    "folkmoot.sdk",
    "folkmoot.testing.kit",
    "folkmoot.testing.simulation",
)
"""Packages whose short waits are polls and beats; all others are users'."""


class PatientLoop(SimulatedLoop):
    """See the module."""

    def __init__(self) -> None:
        super().__init__()
        self._waits: dict[asyncio.TimerHandle, None] = {}
        self._of_processes: weakref.WeakSet[asyncio.Task[Any]] = weakref.WeakSet()
        self.standstill: str | None = None
        """Why nothing will ever happen again, once somebody has found that out."""

    def call_at(  # type: ignore[override]
        self, when: float, callback: Callable[..., Any], *args: Any, context: Context | None = None
    ) -> asyncio.TimerHandle:
        """See asyncio."""
        timer = super().call_at(when, callback, *args, context=context)
        if when - self.time() > LONG_S or not _is_own(sys._getframe(1)):
            self._waits[timer] = None
        return timer

    def create_task(  # type: ignore[override]
        self,
        coro: Coroutine[Any, Any, T],
        *,
        name: str | None = None,
        context: Context | None = None,
    ) -> asyncio.Task[T]:
        """See asyncio."""
        task = super().create_task(coro, name=name, context=context)
        if (context or copy_context()).get(OWNER) is not None:
            self._of_processes.add(task)
        return task

    def run_in_executor(  # type: ignore[override]
        self, _executor: object, function: Callable[..., T], *args: Any
    ) -> asyncio.Future[T]:
        """Run `function` now, and take no time for it."""
        done: asyncio.Future[T] = self.create_future()
        try:
            done.set_result(function(*args))
        except Exception as error:
            done.set_exception(error)
        return done

    def tasks_of_processes(self) -> list[asyncio.Task[Any]]:
        """Return the tasks of simulated processes that have not ended."""
        return [task for task in self._of_processes if not task.done()]

    def next_wait(self) -> float | None:
        """Return when the next wait ends that matters, None if there is none."""
        over = [t for t in self._waits if t.cancelled() or t.when() <= self.now]
        for timer in over:
            del self._waits[timer]
        return min((timer.when() for timer in self._waits), default=None)

    @property
    def is_quiet(self) -> bool:
        """Whether nobody is about to run, and nothing is on its way."""
        waiting: list[asyncio.TimerHandle] = self._scheduled  # type: ignore[attr-defined]
        under_way = (
            timer._context is NOBODY and not timer.cancelled()  # type: ignore[attr-defined]
            for timer in waiting
        )
        return not self._ready and not any(under_way)  # type: ignore[attr-defined]

    def leap(self, to: float) -> None:
        """Let it be `to`, in seconds since the loop began."""
        self._selected.now = to

    def _pass_time(self, timeout: float | None = None) -> list[Any]:
        if self.standstill is not None:
            reason, self.standstill = self.standstill, None
            raise Stuck(reason)
        return super()._pass_time(timeout)


def _is_own(frame: FrameType | None) -> bool:
    """Whether who waits, below the event loop's own functions, is Folkmoot."""
    while frame is not None:
        module = str(frame.f_globals.get("__name__", ""))
        if not module.startswith("asyncio.") and module != __name__:
            return module.startswith(OWN)
        frame = frame.f_back
    return True


def simulate(scenario: Coroutine[Any, Any, T]) -> T:
    """Run a coroutine on virtual time from beginning to end.

    Raises:
        Stuck: everybody waits, and nothing will ever happen.
    """
    with asyncio.Runner(loop_factory=PatientLoop) as runner:
        return runner.run(scenario)


def simulated(scenario: Callable[P, Coroutine[Any, Any, T]]) -> Callable[P, T]:
    """Make an async test an ordinary one that runs on virtual time, for any test runner."""

    @functools.wraps(scenario)
    def run(*args: P.args, **kwargs: P.kwargs) -> T:
        return simulate(scenario(*args, **kwargs))

    return run
