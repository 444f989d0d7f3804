"""A closed loop of sagas: a number in flight, each followed by the next as soon as it ends."""

from __future__ import annotations

import asyncio
import statistics
import time
from dataclasses import dataclass

from folkmoot import Client


@dataclass(frozen=True, slots=True)
class Load:
    """What a closed loop measured. Latencies in milliseconds."""

    sagas: int
    seconds: float
    p50_ms: float
    p99_ms: float

    @property
    def per_second(self) -> float:
        """Sagas finished per second."""
        return self.sagas / self.seconds


async def closed_loop(client: Client, team: str, in_flight: int, sagas: int) -> Load:
    """Run `sagas` sagas, `in_flight` at a time, and check each result."""
    latencies: list[float] = []
    numbers = iter(range(sagas))

    async def one_after_another() -> None:
        for number in numbers:
            started = time.perf_counter()
            saga = await client.submit(team, number)
            result = await saga.result(timeout_s=60)
            if result != {"one": number + 1, "two": number + 2, "three": number + 3}:
                raise AssertionError(f"saga {saga.saga_id} gave {result}")
            latencies.append((time.perf_counter() - started) * 1000)

    began = time.perf_counter()
    await asyncio.gather(*(one_after_another() for _ in range(in_flight)))
    seconds = time.perf_counter() - began
    cuts = statistics.quantiles(latencies, n=100)
    return Load(sagas, seconds, cuts[49], cuts[98])
