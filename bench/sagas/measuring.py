"""The turns: which contender is given which load, when."""

from __future__ import annotations

import asyncio
import sys
import time
from collections.abc import Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass, replace
from pathlib import Path

from bench.sagas.accounting import memory_mb
from bench.sagas.contender import Contender, Failed, NotMeasured, Running
from bench.sagas.goals import OPEN_SHARE
from bench.sagas.loops import Load
from bench.sagas.points import Results
from folkmoot.local.errors import LocalError

SETTLE_S = 1.0
"""After the start, before idling is measured."""

WARM_UP_IN_FLIGHT = 64


@dataclass(frozen=True, slots=True)
class Plan:
    """How much is measured, and for how long at most."""

    rounds: int = 2
    seconds: float = 3.0
    """Of each load; slow contenders take up to four times as long."""
    warm_up_s: float = 3.0
    idle_s: float = 1.0
    open_s: float = 10.0
    """Of the open loop, at a share of what the closed loops reached; 0 leaves it out."""
    in_flight: Sequence[int] = (1, 64, 512)
    widths: Sequence[int] = (250, 1_000)
    shapes: Sequence[str] = ("three", "undo", "wide")
    seconds_max: float = 9 * 60
    """Of all rounds of closed loops; the other parts take some three minutes more."""

    def loads(self, contender: Contender) -> list[Load]:
        """Return the closed loops of a turn."""
        loads = []
        wanted = [shape for shape in self.shapes if shape in contender.shapes]
        if "three" in wanted:
            loads += [self._closed("three", some) for some in self.in_flight]
        if "undo" in wanted:
            loads.append(self._closed("undo", 64 if 64 in self.in_flight else self.in_flight[-1]))
        if "wide" in wanted:
            loads += [replace(self._closed("wide", 1), width=width) for width in self.widths]
        return [load for load in loads if load.in_flight <= contender.in_flight_max]

    def _closed(self, shape: str, in_flight: int) -> Load:
        return Load(shape, self.seconds, in_flight)


class Bench:
    """A run of the benchmark."""

    def __init__(self, contenders: Sequence[Contender], folder: Path, plan: Plan) -> None:
        self.contenders, self.plan = list(contenders), plan
        self.results = Results()
        self._folder, self._stack = folder, AsyncExitStack()
        self._began = time.monotonic()
        self._turns = 0

    async def __aenter__(self) -> Bench:
        try:
            for contender in list(self.contenders):
                await self._prepare(contender)
        except BaseException:
            await self._stack.aclose()
            raise
        self._began = time.monotonic()
        return self

    async def _prepare(self, contender: Contender) -> None:
        try:
            await contender.prepare(self._stack, self._folder)
        except NotMeasured as reason:
            self.contenders.remove(contender)
            self.results.not_measured[contender.name] = str(reason)

    async def __aexit__(self, *_error: object) -> None:
        await self._stack.aclose()

    async def closed(self) -> None:
        """Measure closed loops, round by round."""
        for number in range(self.plan.rounds):
            for contender in self.contenders:
                await self.turn(contender, self.plan.loads(contender))
            took = time.monotonic() - self._began
            print(f"round {number + 1} of {self.plan.rounds}, {took:.0f} s", file=sys.stderr)
            if took * (number + 2) / (number + 1) > self.plan.seconds_max:
                return

    async def open(self) -> None:
        """Measure an open loop at a share of the most that each contender did of three steps."""
        for contender in self.contenders:
            rates = [
                point.per_second
                for point in self.results.measured()
                if point.contender == contender.name and point.load.shape == "three"
            ]
            if rates:
                rate = float(f"{OPEN_SHARE * max(rates):.2g}")
                load = Load("three", self.plan.open_s, per_second=rate)
                await self.turn(contender, [load])

    async def turn(self, contender: Contender, loads: Sequence[Load]) -> None:
        """Start a contender, give it loads, and stop it; what goes wrong is noted."""
        self._turns += 1
        folder = self._folder / f"turn-{self._turns}"
        left = list(loads)
        try:
            async with contender.turn(folder) as running:
                await self._idle(contender.name, running)
                await running.driver.run(Load("three", self.plan.warm_up_s, WARM_UP_IN_FLIGHT))
                while left:
                    await self._load(contender.name, running, left.pop(0))
                self.results.memory_mb[contender.name] = memory_mb(running.pids)
        except (Failed, LocalError) as trouble:
            for load in left:
                self.results.point(contender.name, load).trouble = str(trouble)

    async def _idle(self, name: str, running: Running) -> None:
        await asyncio.sleep(SETTLE_S)
        before, began = running.account(), time.monotonic()
        await asyncio.sleep(self.plan.idle_s)
        used = sum(running.account().since(before).processor_s.values())
        self.results.idle.setdefault(name, []).append(used / (time.monotonic() - began))

    async def _load(self, name: str, running: Running, load: Load) -> None:
        point, before = self.results.point(name, load), running.account()
        try:
            outcome = await running.driver.run(load)
            point.take(outcome, running.account().since(before))
        except Failed as trouble:
            point.trouble = str(trouble)
