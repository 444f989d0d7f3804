"""The contender's side of the conversation with the benchmark."""

from __future__ import annotations

import asyncio
import os
import sys
import time


def say(word: str) -> None:
    """Tell the benchmark."""
    print(word, flush=True)


def say_leading() -> None:
    """Tell that this contender leads as of now."""
    say(f"leading {time.monotonic_ns()}")


class Orders:
    """What the benchmark says. `resign` is set when this contender is told to."""

    def __init__(self) -> None:
        self.resign = asyncio.Event()
        self._listening = asyncio.create_task(self._listen())

    async def _listen(self) -> None:
        reader = asyncio.StreamReader()
        loop = asyncio.get_running_loop()
        await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), sys.stdin)
        while await reader.readline():
            self.resign.set()
        os._exit(0)
