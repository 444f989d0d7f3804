"""What a task has to look out for when it is told to end."""

from __future__ import annotations

import asyncio


def heed_cancellation() -> None:
    """Raise `CancelledError` if this task was told to end and caught another error instead.

    A `TaskGroup` of which a child fails while it is cancelled raises the child's error only, and an
    error while closing something takes the cancellation's place (Python 3.11 and 3.12).
    """
    task = asyncio.current_task()
    if task is not None and task.cancelling():
        raise asyncio.CancelledError
