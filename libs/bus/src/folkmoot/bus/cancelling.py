"""What a task has to look out for when it, or something that it awaits, is told to end."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable

from folkmoot.bus.ports import BusUnavailable


def heed_cancellation() -> None:
    """Raise `CancelledError` if this task was told to end and caught another error instead.

    A `TaskGroup` of which a child fails while it is cancelled raises the child's error only, and an
    error while closing something takes the cancellation's place (Python 3.11 and 3.12).
    """
    task = asyncio.current_task()
    if task is not None and task.cancelling():
        raise asyncio.CancelledError


async def alive(work: Awaitable[None]) -> None:
    """Await `work`, which a client may end with a `CancelledError` that nobody has asked for.

    aiokafka cancels tasks of its own and awaits them. Taken for a cancellation of this task, that
    would end it without a word: a task group takes a cancelled child for one that was told to end.

    Raises:
        BusUnavailable: that has happened; begin anew.
    """
    try:
        await work
    except asyncio.CancelledError:
        heed_cancellation()
        raise BusUnavailable("A client of the bus was cancelled by itself. Begin anew.") from None
