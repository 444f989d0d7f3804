"""DBOS: workflows and steps in the driver's own process, checkpointed in a database.

python -m bench.sagas.programs.dbos_client DATABASE_URL
"""

from __future__ import annotations

import asyncio
import sys
from typing import Any

from dbos import DBOS, DBOSConfig

from bench.sagas.loops import Load
from bench.sagas.programs.driving import start, take_orders

POOL = 20
"""Connections to PostgreSQL, as its default."""


@DBOS.step()
async def add(n: int) -> int:
    """Return the next number."""
    return n + 1


@DBOS.step()
async def release(n: int) -> None:
    """Take it back."""


@DBOS.step()
async def refuse(n: int) -> int:
    """Fail for good."""
    raise ValueError("as planned")


@DBOS.workflow()
async def three(task: dict[str, Any]) -> dict[str, int]:
    """Run three steps, one after the other."""
    return {f"s{place}": await add(task["n"] + place) for place in range(3)}


@DBOS.workflow()
async def undo(task: dict[str, Any]) -> str:
    """Run five steps of which the last fails, and undo the others."""
    undone: list[int] = []
    try:
        for place in range(4):
            undone.append(task["n"] + place)
            await add(task["n"] + place)
        await refuse(task["n"] + 4)
    except ValueError:
        for n in reversed(undone):
            await release(n)
        return "compensated"
    return "completed"


@DBOS.workflow()
async def wide(task: dict[str, Any]) -> dict[str, int]:
    """Run many steps side by side."""
    results = await asyncio.gather(*(add(task["n"] + place) for place in range(task["width"])))
    return {f"s{place}": result for place, result in enumerate(results)}


WORKFLOWS = {"three": three, "undo": undo, "wide": wide}


async def run_saga(load: Load, number: int) -> None:
    """Run a workflow and see it end as its shape says."""
    result = await WORKFLOWS[load.shape]({"n": number, "width": load.width})
    steps = load.width if load.shape == "wide" else 3
    expected = {f"s{place}": number + place + 1 for place in range(steps)}
    assert result == ("compensated" if load.shape == "undo" else expected), result


async def main(url: str) -> None:
    """Launch, and take orders."""
    config: DBOSConfig = {
        "name": "bench",
        "system_database_url": url,
        "log_level": "ERROR",
        "enable_otlp": False,
    }
    if url.startswith("postgres"):
        config["sys_db_pool_size"] = POOL
    DBOS(config=config)
    DBOS.launch()
    await take_orders(run_saga)


if __name__ == "__main__":
    start(main(*sys.argv[1:]))
