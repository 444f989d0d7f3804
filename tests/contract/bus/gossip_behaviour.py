"""What every `Gossip` does, written once. A subclass says how to connect."""

from __future__ import annotations

import asyncio
import logging
import uuid
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Protocol

import pytest

from folkmoot.bus.ports import (
    BusError,
    BusUnavailable,
    Gossip,
    Gossiped,
    NoResponder,
    RecordTooLarge,
)
from folkmoot.bus.subjects import matches
from folkmoot.testing.eventually import eventually


class Counted(Gossip, Protocol):
    """What the adapters add to the port, for readiness and metrics."""

    errors: int
    last_error: str | None

    @property
    def connected(self) -> bool: ...


Connect = Callable[[], Awaitable[Counted]]


class Inbox:
    """A handler that keeps what it gets."""

    def __init__(self) -> None:
        self.messages: list[Gossiped] = []

    async def __call__(self, message: Gossiped) -> None:
        self.messages.append(message)

    async def data(self, count: int) -> list[bytes]:
        await eventually(lambda: len(self.messages) >= count)
        return [message.data for message in self.messages]


class GossipBehaviour:
    """Every sentence of the port, asserted."""

    @pytest.fixture
    async def gossip(self, connect: Connect) -> AsyncIterator[Counted]:
        gossip = await connect()
        yield gossip
        await gossip.close()

    @pytest.fixture
    async def other(self, connect: Connect) -> AsyncIterator[Counted]:
        """Another member of the same mesh."""
        other = await connect()
        yield other
        await other.close()

    @pytest.fixture
    def subject(self) -> str:
        """A first token that no other test knows."""
        return f"test-{uuid.uuid4().hex}"

    async def flushed(self, gossip: Gossip, subject: str) -> None:
        """Return when everything that `gossip` has published is with its subscribers."""
        mark = f"{subject}-mark.{uuid.uuid4().hex}"
        inbox = Inbox()
        subscription = await gossip.subscribe(mark, inbox)
        await gossip.publish(mark, b"")
        await inbox.data(1)
        await subscription.close()

    # -- publishing -------------------------------------------------------------------------

    async def test_who_listens_gets_it(self, gossip: Counted, other: Counted, subject: str) -> None:
        here, there = Inbox(), Inbox()
        await gossip.subscribe(f"{subject}.a", here)
        await other.subscribe(f"{subject}.a", there)
        await gossip.publish(f"{subject}.a", b"\x00\xff", {"kind": "delta", "Case": "ä"})
        for inbox in (here, there):
            assert await inbox.data(1) == [b"\x00\xff"]
            assert inbox.messages[0].subject == f"{subject}.a"
            assert dict(inbox.messages[0].headers) == {"kind": "delta", "Case": "ä"}

    async def test_messages_of_one_publisher_come_in_order(
        self, gossip: Counted, other: Counted, subject: str
    ) -> None:
        inbox = Inbox()
        await other.subscribe(subject, inbox)
        for number in range(500):
            await gossip.publish(subject, b"%d" % number)
        assert await inbox.data(500) == [b"%d" % number for number in range(500)]

    async def test_nobody_need_listen(self, gossip: Counted, subject: str) -> None:
        await gossip.publish(subject, b"lost")
        inbox = Inbox()
        await gossip.subscribe(subject, inbox)
        await gossip.publish(subject, b"heard")
        assert await inbox.data(1) == [b"heard"]

    async def test_publishing_does_not_wait_for_the_handler(
        self, gossip: Counted, subject: str
    ) -> None:
        release, handled = asyncio.Event(), []

        async def slow(message: Gossiped) -> None:
            await release.wait()
            handled.append(message.data)

        await gossip.subscribe(subject, slow)
        async with asyncio.timeout(5):
            for number in range(3):
                await gossip.publish(subject, b"%d" % number)
        assert handled == []
        release.set()
        await eventually(lambda: handled == [b"0", b"1", b"2"])

    async def test_a_message_over_the_limit_is_refused(self, gossip: Counted, subject: str) -> None:
        with pytest.raises(RecordTooLarge, match=subject):
            await gossip.publish(subject, b"x" * (1024 * 1024 + 1))
        with pytest.raises(RecordTooLarge, match=subject):
            await gossip.request(subject, b"x" * (1024 * 1024 + 1), 100)

    @pytest.mark.parametrize("bad", ["", "a..b", ".a", "a.", "a b", "a.*", "a.>", "a\n"])
    async def test_an_illegal_subject_is_refused(self, gossip: Counted, bad: str) -> None:
        with pytest.raises(BusError, match="not legal"):
            await gossip.publish(bad, b"")
        with pytest.raises(BusError, match="not legal"):
            await gossip.request(bad, b"", 100)

    # -- subscribing ------------------------------------------------------------------------

    @pytest.mark.parametrize(
        ("pattern", "heard", "unheard"),
        [
            ("a", ["a"], ["b", "a.b"]),
            ("*", ["a", "b"], ["a.b"]),
            ("a.*", ["a.b"], ["a", "b.a", "a.b.c"]),
            ("*.b", ["a.b", "b.b"], ["b", "a.c", "a.a.b"]),
            ("a.*.c", ["a.b.c"], ["a.c", "a.b.b", "a.b.c.d"]),
            ("a.>", ["a.b", "a.b.c"], ["a", "b.a"]),
            ("*.*.>", ["a.b.c", "a.b.c.d"], ["a.b"]),
        ],
    )
    async def test_wildcards(
        self, gossip: Counted, subject: str, pattern: str, heard: list[str], unheard: list[str]
    ) -> None:
        inbox = Inbox()
        await gossip.subscribe(f"{subject}.{pattern}", inbox)
        for each in (*unheard, *heard):
            await gossip.publish(f"{subject}.{each}", each.encode())
        await self.flushed(gossip, subject)
        assert await inbox.data(len(heard)) == [each.encode() for each in heard]
        assert all(matches(pattern, each) for each in heard)

    @pytest.mark.parametrize("bad", ["", "a..b", "a.>.b", "a b", "a.b*"])
    async def test_an_illegal_pattern_is_refused(self, gossip: Counted, bad: str) -> None:
        with pytest.raises(BusError, match="not legal"):
            await gossip.subscribe(bad, Inbox())

    async def test_every_subscription_of_one_subject_gets_it(
        self, gossip: Counted, subject: str
    ) -> None:
        inboxes = [Inbox(), Inbox(), Inbox()]
        for inbox, pattern in zip(inboxes, (subject, subject, "*"), strict=True):
            await gossip.subscribe(pattern, inbox)
        await gossip.publish(subject, b"1")
        for inbox in inboxes[:2]:
            assert await inbox.data(1) == [b"1"]

    async def test_a_handler_that_raises_is_counted_and_the_next_is_handled(
        self, gossip: Counted, subject: str, caplog: pytest.LogCaptureFixture
    ) -> None:
        handled: list[bytes] = []

        async def picky(message: Gossiped) -> None:
            handled.append(message.data)
            if message.data == b"bad":
                raise ValueError("no taste")

        await gossip.subscribe(subject, picky)
        with caplog.at_level(logging.ERROR):
            for data in (b"bad", b"good"):
                await gossip.publish(subject, data)
            await eventually(lambda: handled == [b"bad", b"good"])
        assert gossip.errors == 1
        assert "no taste" in str(gossip.last_error)
        assert "no taste" in caplog.text

    async def test_a_closed_subscription_hears_nothing_more(
        self, gossip: Counted, subject: str
    ) -> None:
        inbox = Inbox()
        subscription = await gossip.subscribe(subject, inbox)
        await gossip.publish(subject, b"1")
        await inbox.data(1)
        await subscription.close()
        await subscription.close()
        await gossip.publish(subject, b"2")
        await self.flushed(gossip, subject)
        assert await inbox.data(1) == [b"1"]

    async def test_closing_finishes_what_is_being_handled(
        self, gossip: Counted, subject: str
    ) -> None:
        began, release, finished = asyncio.Event(), asyncio.Event(), []

        async def slow(message: Gossiped) -> None:
            began.set()
            await release.wait()
            finished.append(message.data)

        subscription = await gossip.subscribe(subject, slow)
        await gossip.publish(subject, b"1")
        await gossip.publish(subject, b"2")
        await began.wait()
        closing = asyncio.create_task(subscription.close())
        await asyncio.sleep(0.01)
        assert not closing.done()
        release.set()
        async with asyncio.timeout(5):
            await closing
        await self.flushed(gossip, subject)
        assert finished == [b"1"]

    async def test_a_handler_may_close_its_own_subscription(
        self, gossip: Counted, subject: str
    ) -> None:
        handled: list[bytes] = []

        async def once(message: Gossiped) -> None:
            await subscription.close()
            await asyncio.sleep(0)
            handled.append(message.data)

        subscription = await gossip.subscribe(subject, once)
        await gossip.publish(subject, b"1")
        await eventually(lambda: handled == [b"1"])
        await gossip.publish(subject, b"2")
        await self.flushed(gossip, subject)
        assert handled == [b"1"]

    async def test_a_handler_may_publish_and_ask(
        self, gossip: Counted, other: Counted, subject: str
    ) -> None:
        inbox = Inbox()

        async def upper(message: Gossiped) -> bytes:
            return message.data.upper()

        async def relay(message: Gossiped) -> None:
            answer = await other.request(f"{subject}.upper", message.data, 5_000)
            await other.publish(f"{subject}.out", answer)

        await gossip.respond(f"{subject}.upper", upper)
        await other.subscribe(f"{subject}.in", relay)
        await gossip.subscribe(f"{subject}.out", inbox)
        await gossip.publish(f"{subject}.in", b"hello")
        assert await inbox.data(1) == [b"HELLO"]

    # -- asking -----------------------------------------------------------------------------

    async def test_a_request_is_answered(
        self, gossip: Counted, other: Counted, subject: str
    ) -> None:
        async def echo(message: Gossiped) -> bytes:
            return message.subject.encode() + b" " + message.data

        await other.respond(f"{subject}.*", echo)
        answers = await asyncio.gather(
            *(gossip.request(f"{subject}.{n}", b"%d" % n, 5_000) for n in range(20))
        )
        assert answers == [f"{subject}.{n} {n}".encode() for n in range(20)]

    async def test_responders_share_the_load(
        self, gossip: Counted, other: Counted, subject: str
    ) -> None:
        answered: dict[str, int] = {"here": 0, "there": 0}

        async def here(message: Gossiped) -> bytes:
            answered["here"] += 1
            return b"here"

        async def there(message: Gossiped) -> bytes:
            answered["there"] += 1
            return b"there"

        await gossip.respond(subject, here)
        await other.respond(subject, there)
        answers = [await gossip.request(subject, b"", 5_000) for _ in range(60)]
        assert answered == {"here": answers.count(b"here"), "there": answers.count(b"there")}
        assert min(answered.values()) > 0

    async def test_nobody_to_ask_is_told_at_once(self, gossip: Counted, subject: str) -> None:
        async with asyncio.timeout(5):
            with pytest.raises(NoResponder, match=subject):
                await gossip.request(subject, b"", 60_000)

    async def test_no_answer_in_time_is_no_responder(self, gossip: Counted, subject: str) -> None:
        release = asyncio.Event()

        async def slow(message: Gossiped) -> bytes:
            await release.wait()
            return b"late"

        subscription = await gossip.respond(subject, slow)
        with pytest.raises(NoResponder, match="within 50 ms"):
            await gossip.request(subject, b"", 50)
        release.set()
        await subscription.close()

    async def test_who_only_listens_does_not_answer(self, gossip: Counted, subject: str) -> None:
        inbox = Inbox()
        await gossip.subscribe(subject, inbox)
        with pytest.raises(NoResponder):
            await gossip.request(subject, b"?", 50)
        assert await inbox.data(1) == [b"?"]

    async def test_a_responder_that_raises_is_told_at_once_and_goes_on(
        self, gossip: Counted, other: Counted, subject: str
    ) -> None:
        async def picky(message: Gossiped) -> bytes:
            if message.data == b"bad":
                raise ValueError("no taste,\nnone at all")
            return b"fine"

        await other.respond(subject, picky)
        async with asyncio.timeout(5):
            with pytest.raises(NoResponder, match="no taste"):
                await gossip.request(subject, b"bad", 60_000)
        assert await gossip.request(subject, b"good", 5_000) == b"fine"
        assert other.errors == 1

    async def test_a_responder_that_closed_is_asked_no_more(
        self, gossip: Counted, other: Counted, subject: str
    ) -> None:
        async def answer(message: Gossiped) -> bytes:
            return b"here"

        subscription = await other.respond(subject, answer)
        assert await gossip.request(subject, b"", 5_000) == b"here"
        await subscription.close()
        await self.flushed(other, subject)
        with pytest.raises(NoResponder):
            await gossip.request(subject, b"", 5_000)

    # -- closing ----------------------------------------------------------------------------

    async def test_a_closed_gossip_refuses(self, connect: Connect, subject: str) -> None:
        gossip = await connect()
        assert gossip.connected
        await gossip.subscribe(subject, Inbox())
        await gossip.close()
        await gossip.close()
        assert not gossip.connected
        with pytest.raises(BusUnavailable):
            await gossip.publish(subject, b"")
        with pytest.raises(BusUnavailable):
            await gossip.request(subject, b"", 50)
        with pytest.raises(BusUnavailable):
            await gossip.subscribe(subject, Inbox())

    async def test_what_was_published_before_closing_is_sent(
        self, connect: Connect, other: Counted, subject: str
    ) -> None:
        inbox = Inbox()
        await other.subscribe(subject, inbox)
        gossip = await connect()
        await gossip.publish(subject, b"farewell")
        await gossip.close()
        assert await inbox.data(1) == [b"farewell"]
