"""Folkmoot in one process on one file, and the driver in the same process.

python -m bench.sagas.programs.embedded FILE
"""

from __future__ import annotations

import sys

from bench.sagas.programs.agents import agent
from bench.sagas.programs.client import run_saga
from bench.sagas.programs.driving import start, take_orders
from folkmoot import Client
from folkmoot.mesh import Mesh


async def main(file: str) -> None:
    """Start all of it, and take orders."""
    async with Mesh.start(f"embedded:{file}", [agent]) as mesh, Client.on(mesh.bus) as client:
        await take_orders(lambda load, number: run_saga(client, load, number))


if __name__ == "__main__":
    start(main(*sys.argv[1:]))
