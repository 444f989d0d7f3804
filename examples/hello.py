"""The smallest team: one agent, one step, no plan. Run it with `python examples/hello.py`."""

from __future__ import annotations

import asyncio
import tempfile

from folkmoot import Agent, Client, StepContext
from folkmoot.mesh import Mesh

app = Agent("greeter", team="hello")


@app.step("greet")
async def greet(ctx: StepContext, name: str) -> str:
    """Greet somebody."""
    return f"hello, {name}"


async def main() -> str:
    """Run the mesh in this process, and one saga on it."""
    with tempfile.TemporaryDirectory() as folder:
        async with (
            Mesh.start(f"embedded:{folder}/hello.db", [app]) as mesh,
            Client.on(mesh.bus) as client,
        ):
            saga = await client.submit("hello", "folkmoot")
            return await saga.result(str, timeout_s=30)


if __name__ == "__main__":
    print(asyncio.run(main()))
