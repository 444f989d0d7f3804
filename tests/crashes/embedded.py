"""Runs the reference saga in this process, on one file, the trap set; started again, it goes on.

`python -m tests.crashes.embedded FILE KEY` prints the saga as it was in the end, as JSON.
"""

from __future__ import annotations

import asyncio
import json
import sys

from folkmoot import Client, NoAnswer, Saga
from folkmoot.mesh import Mesh, embedded
from folkmoot.mesh.embedded import MeshOptions
from tests.crashes.agents import TEAM, agent
from tests.crashes.striking import striking

TTL_MS = 300
"""How soon a process that is started again takes its shards: nobody else could have them."""

ENDS_WITHIN_S = 60
ASK_AGAIN_S = 0.1
OPTIONS = MeshOptions(partitions=1, ttl_ms=TTL_MS, session_ttl_ms=TTL_MS)


async def run(file: str, key: str) -> dict[str, object]:
    """Run the saga to its end and return its state."""
    embedded.connect = striking(embedded.connect)  # type: ignore[attr-defined, assignment]
    members = ("member-1",)
    async with (
        Mesh.start(f"embedded:{file}", [agent], members, OPTIONS) as mesh,
        Client.on(mesh.bus) as client,
    ):
        saga = await client.submit(TEAM, "Oslo", idempotency_key=key)
        await saga.outcome(ENDS_WITHIN_S)
        return await state_of(saga)


async def state_of(saga: Saga) -> dict[str, object]:
    """Return a saga's last state; who has just taken its shard may not answer yet."""
    async with asyncio.timeout(ENDS_WITHIN_S):
        while True:
            try:
                return dict(await saga.state())
            except NoAnswer:
                await asyncio.sleep(ASK_AGAIN_S)


if __name__ == "__main__":
    print(json.dumps(asyncio.run(run(*sys.argv[1:]))))
