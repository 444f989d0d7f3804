"""A link passes bytes as they are, and fails as it is told to."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator

import pytest

from folkmoot.local.ports import LOOPBACK, free_port
from tests.chaos.proxy import CHUNK_BYTES, Link

WITHIN_S = 10.0


async def _echo(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    try:
        while data := await reader.read(CHUNK_BYTES):
            writer.write(data)
            await writer.drain()
    except OSError:
        return
    finally:
        writer.close()


@pytest.fixture
async def link() -> AsyncIterator[Link]:
    port = free_port()
    server = await asyncio.start_server(_echo, LOOPBACK, port)
    link = Link({1: (free_port(), port)})
    await link.start()
    yield link
    await link.stop()
    server.close()


@contextlib.asynccontextmanager
async def call(link: Link) -> AsyncIterator[Caller]:
    reader, writer = await asyncio.open_connection(LOOPBACK, link.ports[1])
    try:
        yield Caller(reader, writer)
    finally:
        writer.close()
        with contextlib.suppress(OSError):
            await writer.wait_closed()


class Caller:
    """A connection through a link, to an echo."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader, self._writer = reader, writer

    async def say(self, data: bytes) -> bytes:
        self._writer.write(data)
        async with asyncio.timeout(WITHIN_S):
            return await self._reader.readexactly(len(data))

    async def is_cut_off(self) -> bool:
        try:
            await self.say(b"anybody?")
        except (OSError, asyncio.IncompleteReadError):
            return True
        return False


async def test_bytes_pass_unchanged_and_in_order(link: Link) -> None:
    data = bytes(range(256)) * 4_000
    async with call(link) as caller:
        assert await caller.say(data) == data


async def test_a_cut_link_resets_and_refuses_and_can_be_mended(link: Link) -> None:
    async with call(link) as caller:
        assert await caller.say(b"before") == b"before"
        link.cut()
        assert await caller.is_cut_off()
    async with call(link) as caller:
        assert await caller.is_cut_off()
    link.restore()
    async with call(link) as caller:
        assert await caller.say(b"after") == b"after"


async def test_a_deaf_link_holds_back_and_loses_nothing(link: Link) -> None:
    async with call(link) as caller:
        link.deafen()
        said = asyncio.create_task(caller.say(b"hello"))
        done, _ = await asyncio.wait([said], timeout=0.1)
        assert not done
        link.restore()
        assert await said == b"hello"


async def test_a_slow_link_delays_each_way_but_not_one_chunk_after_the_other(link: Link) -> None:
    link.delay_s = 0.1
    loop = asyncio.get_running_loop()
    async with contextlib.AsyncExitStack() as stack:
        callers = [await stack.enter_async_context(call(link)) for _ in range(50)]
        began = loop.time()
        await asyncio.gather(*(caller.say(b"hello") for caller in callers))
        assert 0.2 <= loop.time() - began < 50 * 0.2


async def test_who_is_not_there_behind_a_link_is_not_there() -> None:
    nowhere = Link({1: (free_port(), free_port())})
    await nowhere.start()
    async with call(nowhere) as caller:
        assert await caller.is_cut_off()
    await nowhere.stop()
