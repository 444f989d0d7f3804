"""Three copies of a peer's program: who leads, what happens when that one dies or resigns."""

from __future__ import annotations

import asyncio
import random
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

COUNT = 3
WITHIN_S = 60.0
SETTLE_S = 0.5
PHASE_S = 0.4
"""At random up to so long more, so that a leader dies anywhere between two renewals."""


@dataclass(eq=False)
class Contender:
    """One running copy."""

    child: asyncio.subprocess.Process
    ready: asyncio.Event
    told: str = ""


class Contenders:
    """The copies of one program, which is started as `python -m MODULE` with `arguments(member)`.

    They keep running between the measurements: a killed one is replaced, one that resigned stands
    again.
    """

    def __init__(self, module: str, arguments: Callable[[str], Sequence[str]]) -> None:
        self._module, self._arguments = module, arguments
        self._alive: list[Contender] = []
        self._won: asyncio.Queue[tuple[Contender, int]] = asyncio.Queue()
        self._leader: Contender | None = None
        self._readers: set[asyncio.Task[None]] = set()
        self._named = 0

    async def open(self) -> None:
        """Start all copies, and return when one leads."""
        for _ in range(COUNT):
            await self._stand()
        async with asyncio.timeout(WITHIN_S):
            while self._leader is None:
                await self._settle()

    async def _stand(self) -> None:
        self._named += 1
        child = await asyncio.create_subprocess_exec(
            sys.executable,
            "-m",
            self._module,
            *self._arguments(f"member-{self._named}"),
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
        )
        contender = Contender(child, asyncio.Event())
        self._alive.append(contender)
        reader = asyncio.create_task(self._read(contender))
        self._readers.add(reader)
        reader.add_done_callback(self._readers.discard)
        async with asyncio.timeout(WITHIN_S):
            await contender.ready.wait()

    async def _read(self, contender: Contender) -> None:
        assert contender.child.stdout is not None
        async for line in contender.child.stdout:
            word, _, rest = line.decode().strip().partition(" ")
            if word == "leading":
                self._won.put_nowait((contender, int(rest)))
            elif word == "ready":
                contender.told = rest
                contender.ready.set()

    async def _settle(self) -> None:
        """Let elections that a newcomer has caused come to their end."""
        await asyncio.sleep(SETTLE_S + random.uniform(0, PHASE_S))
        while not self._won.empty():
            self._leader = self._won.get_nowait()[0]

    async def crash(self) -> float:
        """Kill the leader; how many milliseconds pass until another leads."""
        leader = await self._known_leader()
        began = time.monotonic_ns()
        leader.child.kill()
        took = await self._successor(leader, began)
        self._alive.remove(leader)
        await leader.child.wait()
        await self._stand()
        return took

    async def hand_over(self) -> float:
        """Let the leader resign; how many milliseconds pass until another leads."""
        leader = await self._known_leader()
        assert leader.child.stdin is not None
        began = time.monotonic_ns()
        leader.child.stdin.write(b"resign\n")
        return await self._successor(leader, began)

    async def _known_leader(self) -> Contender:
        await self._settle()
        assert self._leader is not None
        return self._leader

    async def _successor(self, former: Contender, began: int) -> float:
        async with asyncio.timeout(WITHIN_S):
            while True:
                self._leader, at = await self._won.get()
                if self._leader is not former:
                    return (at - began) / 1e6

    async def close(self) -> None:
        """End all copies."""
        for contender in self._alive:
            if contender.child.returncode is None:
                contender.child.kill()
            await contender.child.wait()
        await asyncio.gather(*self._readers)
