"""The network between one process and the nodes of a cluster: cut, deaf or slow on demand.

Bytes pass unchanged and in order. What is cut is reset and refused; what is deaf stays open and
lets nothing through, as when a cable is pulled; what is slow arrives later by a fixed time.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Mapping

from folkmoot.local.ports import LOOPBACK

CHUNK_BYTES = 64 * 1024
CHUNKS_MAX = 256
"""Chunks under way in one direction: a slow link holds back its sender, as a full one does."""


class Link:
    """One proxy for each node: `ways` has, by node, the port to listen on and the node's own."""

    def __init__(self, ways: Mapping[int, tuple[int, int]]) -> None:
        self._ways = ways
        self._servers: list[asyncio.Server] = []
        self._open: set[asyncio.StreamWriter] = set()
        self._passing: set[asyncio.Task[None]] = set()
        self._hears = asyncio.Event()
        self._hears.set()
        self._is_cut = False
        self.delay_s = 0.0

    @property
    def ports(self) -> Mapping[int, int]:
        """The port to use for each node."""
        return {node: listening for node, (listening, _) in self._ways.items()}

    async def start(self) -> None:
        """Let connections in."""
        for listening, target in self._ways.values():
            server = await asyncio.start_server(self._accepting(target), LOOPBACK, listening)
            self._servers.append(server)

    async def stop(self) -> None:
        """Close everything."""
        for server in self._servers:
            server.close()
        self._servers.clear()
        self.cut()
        self.restore()
        await asyncio.gather(*self._passing, return_exceptions=True)

    def cut(self) -> None:
        """Reset every connection, and let none in."""
        self._is_cut = True
        for writer in tuple(self._open):
            writer.transport.abort()

    def deafen(self) -> None:
        """Let no byte through; tell nobody."""
        self._hears.clear()

    def restore(self) -> None:
        """Be a network without faults again. What a deaf link held back arrives now."""
        self._is_cut = False
        self.delay_s = 0.0
        self._hears.set()

    def _accepting(self, target: int):  # type: ignore[no-untyped-def]
        def accept(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            task = asyncio.get_running_loop().create_task(self._pass(reader, writer, target))
            self._passing.add(task)
            task.add_done_callback(self._passing.discard)

        return accept

    async def _pass(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, target: int
    ) -> None:
        if self._is_cut:
            writer.transport.abort()
            return
        try:
            far_reader, far_writer = await asyncio.open_connection(LOOPBACK, target)
        except OSError:
            writer.transport.abort()
            return
        ends = {writer, far_writer}
        self._open |= ends
        there = asyncio.create_task(self._carry(reader, far_writer))
        back = asyncio.create_task(self._carry(far_reader, writer))
        try:
            await asyncio.wait([there, back], return_when=asyncio.FIRST_COMPLETED)
        finally:
            self._open -= ends
            for task in (there, back):
                task.cancel()
            await asyncio.gather(there, back, return_exceptions=True)
            for end in ends:
                end.transport.abort()

    async def _carry(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Read ahead and write each chunk when it is due, until either side ends."""
        under_way: asyncio.Queue[tuple[float, bytes]] = asyncio.Queue(CHUNKS_MAX)
        delivering = asyncio.create_task(self._deliver(under_way, writer))
        try:
            with contextlib.suppress(OSError):
                while chunk := await reader.read(CHUNK_BYTES):
                    due = asyncio.get_running_loop().time() + self.delay_s
                    await under_way.put((due, chunk))
            await under_way.put((0.0, b""))
            await delivering
        finally:
            delivering.cancel()

    async def _deliver(
        self, under_way: asyncio.Queue[tuple[float, bytes]], writer: asyncio.StreamWriter
    ) -> None:
        with contextlib.suppress(OSError):
            while True:
                due, chunk = await under_way.get()
                if not chunk:
                    return
                await asyncio.sleep(max(0.0, due - asyncio.get_running_loop().time()))
                await self._hears.wait()
                writer.write(chunk)
                await writer.drain()
