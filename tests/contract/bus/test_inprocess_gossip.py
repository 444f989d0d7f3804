"""Gossip inside the process: the common behaviour, and the bounds of its memory."""

from __future__ import annotations

import asyncio
import uuid

import pytest

from folkmoot.bus import inprocess
from folkmoot.bus.inprocess import InProcessGossip, hub
from folkmoot.bus.ports import Gossiped, NoResponder
from folkmoot.testing.eventually import eventually
from tests.contract.bus.gossip_behaviour import Connect, Counted, GossipBehaviour, Inbox


class TestInProcessGossip(GossipBehaviour):
    @pytest.fixture
    def connect(self) -> Connect:
        name = uuid.uuid4().hex

        async def connect() -> Counted:
            return InProcessGossip(hub(name))

        return connect


async def test_hubs_of_other_files_do_not_mix() -> None:
    one, other, inbox = InProcessGossip(hub("one")), InProcessGossip(hub("other")), Inbox()
    await other.subscribe(">", inbox)
    await one.publish("a", b"1")
    await other.publish("a", b"2")
    assert await inbox.data(1) == [b"2"]
    await one.close()
    await other.close()


async def test_a_slow_handler_loses_messages_and_that_is_counted(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(inprocess, "PENDING_MESSAGES", 3)
    gossip, release, handled = InProcessGossip(hub("slow")), asyncio.Event(), []

    async def slow(message: Gossiped) -> None:
        await release.wait()
        handled.append(message.data)

    await gossip.subscribe("a", slow)
    for number in range(5):
        await gossip.publish("a", b"%d" % number)
    assert gossip.dropped == 2
    assert "too slow" in str(gossip.last_error)
    release.set()
    await eventually(lambda: handled == [b"0", b"1", b"2"])
    await gossip.close()


async def test_a_request_that_still_waits_is_refused_when_its_responder_closes() -> None:
    gossip, began, release = InProcessGossip(hub("busy")), asyncio.Event(), asyncio.Event()

    async def slow(message: Gossiped) -> bytes:
        began.set()
        await release.wait()
        return message.data

    subscription = await gossip.respond("a", slow)
    first, second = (asyncio.create_task(gossip.request("a", b"%d" % n, 60_000)) for n in (1, 2))
    await began.wait()
    closing = asyncio.create_task(subscription.close())
    with pytest.raises(NoResponder, match="gone"):
        await second
    release.set()
    assert await first == b"1"
    await closing
    await gossip.close()


async def test_what_is_remembered_of_subjects_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(inprocess, "ROUTES_REMEMBERED", 10)
    gossip, inbox = InProcessGossip(hub("many")), Inbox()
    await gossip.subscribe("a.*", inbox)
    for number in range(25):
        await gossip.publish(f"a.{number}", b"")
    assert len(hub("many")._routes) <= 10
    await inbox.data(25)
    await gossip.close()
