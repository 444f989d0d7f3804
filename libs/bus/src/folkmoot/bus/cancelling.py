"""What a task has to look out for when it, or something that it awaits, is told to end.

aiokafka cannot be cancelled safely: where it opens or closes, a cancellation is taken for that of a
task of its own and lost, or leaves a connection behind; and what it cancels itself may end whoever
awaits it. So its beginnings and ends run in tasks of their own, which nobody cancels.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Coroutine
from typing import Any, TypeVar

from folkmoot.bus.ports import BusUnavailable

T = TypeVar("T")
Work = Coroutine[Any, Any, None]

_left: set[asyncio.Task[Any]] = set()  # a task that nobody refers to may vanish


def heed_cancellation() -> None:
    """Raise `CancelledError` if this task was told to end and caught another error instead.

    A `TaskGroup` of which a child fails while it is cancelled raises the child's error only, and an
    error while closing something takes the cancellation's place (Python 3.11 and 3.12).
    """
    task = asyncio.current_task()
    if task is not None and task.cancelling():
        raise asyncio.CancelledError


async def alive(work: Awaitable[T]) -> T:
    """Await `work`, which a client may end with a `CancelledError` that nobody has asked for.

    Taken for a cancellation of this task, that would end it without a word: a task group takes a
    cancelled child for one that was told to end.

    Raises:
        BusUnavailable: that has happened; begin anew.
    """
    try:
        return await work
    except asyncio.CancelledError:
        heed_cancellation()
        raise BusUnavailable("A client of the bus was cancelled by itself. Begin anew.") from None


def leave(work: Coroutine[Any, Any, T]) -> asyncio.Task[T]:
    """Let `work` go on by itself, whatever becomes of this task. Its failure is nobody's."""
    task = asyncio.create_task(work)
    _left.add(task)
    task.add_done_callback(_left.discard)
    task.add_done_callback(lambda done: done.cancelled() or done.exception())
    return task


async def undisturbed(work: Coroutine[Any, Any, T]) -> T:
    """Await `work`, which ends by itself if this task is cancelled meanwhile.

    Raises:
        BusUnavailable: it was cancelled by itself.
    """
    return await alive(asyncio.shield(leave(work)))


async def begun(
    begin: Coroutine[Any, Any, None], end: Callable[[], Coroutine[Any, Any, None]]
) -> None:
    """Await `begin`. If that fails, or this task is cancelled meanwhile, `end` follows by itself.

    Raises:
        BusUnavailable: it was cancelled by itself.
    """
    beginning = leave(begin)
    try:
        await alive(asyncio.shield(beginning))
    except BaseException:
        leave(_after(beginning, end))
        raise


async def _after(task: asyncio.Task[None], end: Callable[[], Work]) -> None:
    await asyncio.wait([task])
    await end()


async def settled(timeout_s: float) -> None:
    """Wait until all that was left in this event loop has ended, or for `timeout_s`."""
    loop = asyncio.get_running_loop()
    going_on = [task for task in _left if task.get_loop() is loop]
    if going_on:
        await asyncio.wait(going_on, timeout=timeout_s)
