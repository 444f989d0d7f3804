"""Streams of one's own, through the client, on the embedded mesh."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from folkmoot import Client, VersionConflict
from folkmoot.core.messages import NewEvent
from folkmoot.mesh import Mesh
from folkmoot.runtime.service import QueryError


@pytest.fixture
async def client(tmp_path: Path) -> AsyncIterator[Client]:
    async with Mesh.start(f"embedded:{tmp_path}/x.db") as mesh, Client.on(mesh.bus) as connected:
        yield connected


def event(n: int) -> NewEvent:
    return NewEvent("order.changed", {"n": n})


async def read(client: Client, stream: str, count: int) -> list[object]:
    """Return the stream's events, when the index has so many; it is a little behind the log."""
    found: list[object] = []
    async with asyncio.timeout(20):
        while len(found) < count:
            try:
                found = [e["data"] for e in await client.read_stream(stream)]
            except QueryError:
                await asyncio.sleep(0.01)
    return found


async def test_what_was_appended_is_read_in_order(client: Client) -> None:
    assert await client.append("order-1", [event(1), event(2)], expected_version=0) == 2
    assert await client.append("order-1", [event(3)], expected_version=2) == 3
    assert len(await read(client, "order-1", 3)) == 3


async def test_another_version_is_a_conflict_and_appends_nothing(client: Client) -> None:
    await client.append("order-2", [event(1)])
    with pytest.raises(VersionConflict, match="has version 1, not 0"):
        await client.append("order-2", [event(2)], expected_version=0)
    assert await client.append("order-2", [], expected_version=1) == 1
    assert len(await read(client, "order-2", 1)) == 1


async def test_the_same_request_appends_once(client: Client) -> None:
    first = await client.append("order-3", [event(1)], request_id="once")
    again = await client.append("order-3", [event(1)], request_id="once")
    assert first == again == 1
    assert len(await read(client, "order-3", 1)) == 1
