"""Where a demo can run: in this process, or on real brokers with members as processes."""

from __future__ import annotations

import asyncio
import contextlib
import tempfile
from collections.abc import AsyncIterator, Sequence
from pathlib import Path

from folkmoot.bus import Bus, connect
from folkmoot.cli.demo.options import DemoOptions
from folkmoot.cli.platform import local_address, member_process, options_for
from folkmoot.dossier.agents import agents
from folkmoot.local.ports import free_port
from folkmoot.local.processes import ServiceProcess
from folkmoot.local.up import up
from folkmoot.mesh import Mesh, MeshOptions
from folkmoot.runtime.settings import BusSettings

APP = "folkmoot.dossier.agents:agents"
MEMBERS = ("member-1", "member-2", "member-3")
DATABASE = "demo.db"

QUICK_BREAKER = {"breaker_open_base_ms": 250, "breaker_open_cap_ms": 1_000}
"""A demo's agents recover sooner than models and tools do, and somebody is watching."""


class Embedded:
    """Everything in this process, on one file."""

    def __init__(self, mesh: Mesh) -> None:
        self._mesh = mesh

    @property
    def bus(self) -> Bus:
        """The bus of the mesh."""
        return self._mesh.bus

    async def kill(self, member: str) -> None:
        """Crash a member: its tasks end where they are."""
        found = self._mesh.member_called(member)
        if found is not None:
            self._mesh.kill(found.name)


class Processes:
    """Members as processes of their own, on brokers."""

    def __init__(self, bus: Bus, members: list[ServiceProcess]) -> None:
        self._bus, self._members = bus, members

    @property
    def bus(self) -> Bus:
        """The bus that the members use too."""
        return self._bus

    async def kill(self, member: str) -> None:
        """Send SIGKILL to the process of a member."""
        for process in self._members:
            if member.startswith(f"{process.name}-{process.pid}-"):
                await process.kill()


@contextlib.asynccontextmanager
async def platform(options: DemoOptions) -> AsyncIterator[Embedded | Processes]:
    """Start what the demo needs that does not run yet, and stop it in the end."""
    if options.bus == "embedded":
        address = f"embedded:{options.data / DATABASE}"
        async with Mesh.start(address, agents, MEMBERS, MeshOptions(**QUICK_BREAKER)) as mesh:
            yield Embedded(mesh)
    elif options.bus == "local" and local_address() is None:
        with tempfile.TemporaryDirectory(prefix="folkmoot-local-") as folder:
            chosen = options_for(
                Path(folder), http_port=free_port(), any_port=True, settings=QUICK_BREAKER
            )
            async with await up(chosen), _on_brokers(chosen.bus, Path(folder)) as processes:
                yield processes
    else:
        address = local_address() or "" if options.bus == "local" else options.bus
        names = () if options.join else MEMBERS
        async with _on_brokers(address, options.data, names) as processes:
            yield processes


@contextlib.asynccontextmanager
async def _on_brokers(
    address: str, data: Path, names: Sequence[str] = MEMBERS
) -> AsyncIterator[Processes]:
    bus = await connect(address, credentials=BusSettings().credentials())
    members = [member_process(name, APP, address, data / "logs") for name in names]
    try:
        await asyncio.gather(*(member.start() for member in members))
        yield Processes(bus, members)
    finally:
        await asyncio.gather(*(member.stop() for member in members))
        await bus.close()
