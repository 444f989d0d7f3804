"""Watches by how much the event loop is late: what a blocking call or a busy machine costs it.

One cause is told apart: the collector of garbage, which stops everything while it looks around.
"""

from __future__ import annotations

import asyncio
import gc
from collections.abc import Mapping

from folkmoot.contracts.metrics import LOOP_BUCKETS_S
from folkmoot.runtime.tally import Histogram

LOOK_EVERY_S = 0.1
"""Ten wake-ups a second cost nothing, and no stall that matters fits in between."""


class LoopWatch:
    """Sleeps, and notes how much later than it should it was woken."""

    def __init__(self) -> None:
        self.delays = Histogram(LOOP_BUCKETS_S)
        self.collections = Histogram(LOOP_BUCKETS_S)
        """How long looking for garbage took, each time."""

    async def run(self) -> None:
        """Watch the running loop until cancelled."""
        loop = asyncio.get_running_loop()
        began = loop.time()

        def note(phase: str, _info: Mapping[str, int]) -> None:
            nonlocal began
            if phase == "start":
                began = loop.time()
            else:
                self.collections.observe(loop.time() - began)

        gc.callbacks.append(note)
        try:
            while True:
                due = loop.time() + LOOK_EVERY_S
                await asyncio.sleep(LOOK_EVERY_S)
                self.delays.observe(max(0.0, loop.time() - due))
        finally:
            gc.callbacks.remove(note)
