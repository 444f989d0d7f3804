"""The driver's side of the conversation with the benchmark."""

from __future__ import annotations

import asyncio
import json
import os
import sys
import traceback
from collections.abc import Awaitable, Callable, Coroutine
from dataclasses import asdict
from functools import partial
from itertools import count
from typing import Any

from bench.sagas.loops import Load, run

RunSaga = Callable[[Load, int], Awaitable[None]]
"""Runs one saga of the shape that the load names."""


async def _orders() -> asyncio.StreamReader:
    reader = asyncio.StreamReader()
    loop = asyncio.get_running_loop()
    await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), sys.stdin)
    return reader


async def serve_until_the_end(*serving: Coroutine[Any, Any, None]) -> None:
    """Serve until the benchmark is gone, and exit without ado."""
    reader = await _orders()
    ending = asyncio.create_task(reader.read())
    ending.add_done_callback(lambda _: os._exit(0))
    await asyncio.gather(*serving)


async def take_orders(run_saga: RunSaga) -> None:
    """Run one load after another until there are no more, and exit without ado."""
    reader = await _orders()
    print("ready", flush=True)
    numbers = count()
    while line := await reader.readline():
        load = Load(**json.loads(line))
        answer: dict[str, Any]
        try:
            outcome = await run(load, partial(run_saga, load), numbers)
            answer = {"outcome": asdict(outcome)}
        except Exception:
            answer = {"error": traceback.format_exc()}
        print(json.dumps(answer), flush=True)
    os._exit(0)


def start(main: Coroutine[Any, Any, None]) -> None:
    """Run a program in the fastest event loop that there is."""
    try:
        import uvloop
    except ImportError:
        asyncio.run(main)
    else:
        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            runner.run(main)
