from __future__ import annotations

import asyncio
import socket

from folkmoot.local import ports
from folkmoot.local.nats import greets


def test_a_free_port_is_free_and_not_lent_to_outgoing_connections() -> None:
    port = ports.free_port()
    assert port in ports.CHOICES
    with socket.create_server((ports.LOOPBACK, port)):
        assert not ports.is_free(port)
    assert ports.is_free(port)


async def test_a_port_accepts_when_somebody_listens() -> None:
    port = ports.free_port()
    assert not await ports.accepts(port)
    with socket.create_server((ports.LOOPBACK, port)):
        assert await ports.accepts(port)


async def test_only_what_speaks_as_nats_is_taken_for_nats() -> None:
    def speaker(words: bytes) -> asyncio.streams._ClientConnectedCallback:
        async def speak(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            writer.write(words)
            await writer.drain()
            writer.close()

        return speak

    for words, expected in ((b"INFO {}\r\n", True), (b"220 smtp\r\n", False), (b"", False)):
        port = ports.free_port()
        async with await asyncio.start_server(speaker(words), ports.LOOPBACK, port):
            assert await greets(port) is expected
    assert not await greets(ports.free_port())
