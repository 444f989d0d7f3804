"""The driver of Folkmoot: its own client, as a user's program has it.

python -m bench.sagas.programs.client BUS
"""

from __future__ import annotations

import sys

from bench.sagas.loops import Load
from bench.sagas.programs.agents import agent
from bench.sagas.programs.driving import start, take_orders
from folkmoot import Client, SagaFailed

RESULT_WITHIN_S = 60


async def run_saga(client: Client, load: Load, number: int) -> None:
    """Submit a saga and see it end as its shape says."""
    task = {"shape": load.shape, "n": number, "width": load.width}
    saga = await client.submit(agent.team, task)
    if load.shape == "idle":
        return
    try:
        result = await saga.result(timeout_s=RESULT_WITHIN_S)
    except SagaFailed as end:
        if (load.shape, end.state) != ("undo", "compensated"):
            raise
        return
    steps = load.width if load.shape == "wide" else 3
    assert result == {f"s{place}": number + place + 1 for place in range(steps)}, result


async def main(bus: str) -> None:
    """Connect, and take orders."""
    async with Client.connect(bus) as client:
        await take_orders(lambda load, number: run_saga(client, load, number))


if __name__ == "__main__":
    start(main(*sys.argv[1:]))
