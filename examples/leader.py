"""Leadership and nothing else: three programs, of which one at a time publishes a report.

Run it with `python examples/leader.py`. The first leader stalls, as by a call that never returns;
its watchdog notices, another is elected, and what the first one still publishes is refused because
its epoch is old.
"""

from __future__ import annotations

import asyncio
import tempfile
import time
from dataclasses import dataclass, field

from folkmoot import Client, LeadershipLost, Lease
from folkmoot.bus import connect
from folkmoot.mesh import Mesh

SESSION_TTL_MS = 600


@dataclass
class Journal:
    """What leaders act on. It keeps the epoch of its last line, and takes no lower one."""

    epoch: int = 0
    lines: list[str] = field(default_factory=list)
    refused: list[str] = field(default_factory=list)

    def publish(self, line: str, epoch: int) -> None:
        """Take a line from a leader, unless a later one has written already."""
        if epoch < self.epoch:
            self.refused.append(line)
            return
        self.epoch = epoch
        self.lines.append(line)


async def first(client: Client, journal: Journal, stalled: asyncio.Event) -> None:
    """Lead, and then fall silent without noticing: what is sent by then is not called back."""
    lease: Lease = await client.team("reports").leadership()
    journal.publish("first: all is well", lease.epoch)
    stalled.set()
    await lease.lost
    try:
        lease.check()
    except LeadershipLost as lost:
        print(lost)
    journal.publish("first: I still think that I lead", lease.epoch)


async def second(client: Client, journal: Journal) -> None:
    """Wait to lead, and publish."""
    async with client.team("reports").leadership() as lease:
        journal.publish("second: I have taken over", lease.epoch)


def stall(address: str, journal: Journal) -> None:
    """Run the first leader in a thread with an event loop of its own, which then stands still."""

    async def run() -> None:
        bus = await connect(address)
        async with Client.on(bus, node="first", session_ttl_ms=SESSION_TTL_MS) as client:
            stalled = asyncio.Event()
            leading = asyncio.create_task(first(client, journal, stalled))
            await stalled.wait()
            time.sleep(3 * SESSION_TTL_MS / 1000)  # noqa: ASYNC251, a call that does not return
            await leading
        await bus.close()

    asyncio.run(run())


async def main() -> Journal:
    """Run the mesh in this process, and both leaders on it."""
    journal = Journal()
    with tempfile.TemporaryDirectory() as folder:
        address = f"embedded:{folder}/leader.db"
        async with (
            Mesh.start(address) as mesh,
            Client.on(mesh.bus, node="second", session_ttl_ms=SESSION_TTL_MS) as client,
        ):
            stalling = asyncio.create_task(asyncio.to_thread(stall, address, journal))
            while not journal.lines:
                await asyncio.sleep(0.01)
            await second(client, journal)
            await stalling
    return journal


if __name__ == "__main__":
    done = asyncio.run(main())
    for taken in done.lines:
        print("taken:  ", taken)
    for late in done.refused:
        print("refused:", late)
