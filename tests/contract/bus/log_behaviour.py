"""What every `Log` does, written once. A subclass says how to connect to its storage."""

from __future__ import annotations

import asyncio
import statistics
import time
import uuid
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence

import pytest

from folkmoot.bus.ports import (
    BusError,
    BusUnavailable,
    CorruptLog,
    Log,
    Record,
    RecordTooLarge,
    Stored,
    Tail,
    Topic,
    TopicMismatch,
    UnknownTopic,
)

Connect = Callable[[], Awaitable[Log]]
LIMIT_BYTES = 1024 * 1024
FRAMING_BYTES = 70
KEEP = {"cleanup.policy": "delete", "retention.ms": "-1"}


def numbered(count: int, prefix: str = "") -> list[Record]:
    return [Record(f"{prefix}{number}".encode()) for number in range(count)]


async def read_count(tail: Tail, count: int, bite: int = 500) -> list[Stored]:
    """Read until there are `count` records. More would be a defect: it is asserted."""
    found: list[Stored] = []
    async with asyncio.timeout(30):
        while len(found) < count:
            found += await tail.read(bite, 1_000)
    assert len(found) == count
    return found


async def read_all(log: Log, topic: str, partition: int = 0) -> list[Stored]:
    tail = await log.tail(topic, partition, 0)
    end = await log.end_offset(topic, partition)
    found: list[Stored] = []
    async with asyncio.timeout(30):
        while tail.position < end:
            found += await tail.read(500, 1_000)
    await tail.close()
    return found


def values(records: Sequence[Stored]) -> list[bytes | None]:
    return [record.value for record in records]


class LogBehaviour:
    """Every sentence of the port, asserted."""

    @pytest.fixture
    async def log(self, connect: Connect) -> AsyncIterator[Log]:
        log = await connect()
        yield log
        await log.close()

    @pytest.fixture
    async def topic(self, log: Log) -> str:
        """A topic of four partitions that no other test knows."""
        name = f"test.{uuid.uuid4().hex}"
        await log.create_topics([Topic(name, 4, KEEP)])
        return name

    # -- appending --------------------------------------------------------------------------

    async def test_offsets_are_dense_from_zero(self, log: Log, topic: str) -> None:
        appender = await log.appender()
        firsts = [await appender.append(topic, 0, numbered(n)) for n in (1, 3, 2)]
        assert firsts == [0, 1, 4]
        assert [record.offset for record in await read_all(log, topic)] == list(range(6))

    async def test_what_was_appended_comes_back(self, log: Log, topic: str) -> None:
        headers = (("kind", b"entry"), ("bytes", bytes(range(256))), ("kind", b"again"))
        before = time.time_ns() // 1_000_000
        appender = await log.appender()
        sent = [Record(b"\x00\xff", b"key", headers), Record(b"", None), Record(None, b"gone")]
        await appender.append(topic, 0, sent)
        after = time.time_ns() // 1_000_000
        stored = await read_all(log, topic)
        assert [(r.value, r.key, r.headers) for r in stored] == [
            (r.value, r.key, r.headers) for r in sent
        ]
        assert all(before - 1_000 <= record.timestamp_ms <= after + 1_000 for record in stored)

    async def test_one_appenders_calls_land_in_order(self, log: Log, topic: str) -> None:
        appender = await log.appender()
        calls = [appender.append(topic, 0, [record]) for record in numbered(300)]
        firsts = await asyncio.gather(*calls)
        assert firsts == list(range(300))
        assert values(await read_all(log, topic)) == [r.value for r in numbered(300)]

    async def test_one_calls_records_are_adjacent(self, log: Log, topic: str) -> None:
        one, other = await log.appender(), await log.appender()
        firsts = await asyncio.gather(
            *(one.append(topic, 0, numbered(7, f"a{call}.")) for call in range(40)),
            *(other.append(topic, 0, numbered(7, f"b{call}.")) for call in range(40)),
        )
        stored = values(await read_all(log, topic))
        groups = [f"a{call}." for call in range(40)] + [f"b{call}." for call in range(40)]
        for first, prefix in zip(firsts, groups, strict=True):
            assert stored[first : first + 7] == [r.value for r in numbered(7, prefix)]

    async def test_partitions_have_offsets_of_their_own(self, log: Log, topic: str) -> None:
        appender = await log.appender()
        firsts = await asyncio.gather(
            *(appender.append(topic, number % 4, numbered(2)) for number in range(8))
        )
        assert firsts == [0, 0, 0, 0, 2, 2, 2, 2]

    async def test_a_call_larger_than_a_batch_stays_in_one_piece(
        self, log: Log, topic: str
    ) -> None:
        sent = [Record(bytes([number % 256]) * 10_000) for number in range(300)]
        appender = await log.appender()
        assert await appender.append(topic, 1, numbered(1)) == 0
        assert await appender.append(topic, 1, sent) == 1
        assert values((await read_all(log, topic, 1))[1:]) == [record.value for record in sent]

    async def test_a_record_at_the_limit_is_taken(self, log: Log, topic: str) -> None:
        largest = Record(b"x" * (LIMIT_BYTES - FRAMING_BYTES))
        appender = await log.appender()
        await appender.append(topic, 0, [largest])
        assert values(await read_all(log, topic)) == [largest.value]

    async def test_a_record_over_the_limit_lets_nothing_of_its_call_in(
        self, log: Log, topic: str
    ) -> None:
        appender = await log.appender()
        with pytest.raises(RecordTooLarge, match=topic):
            await appender.append(topic, 0, [*numbered(3), Record(b"x" * LIMIT_BYTES)])
        assert await log.end_offset(topic, 0) == 0
        assert await appender.append(topic, 0, numbered(1)) == 0

    async def test_headers_count_towards_the_limit(self, log: Log, topic: str) -> None:
        appender = await log.appender()
        with pytest.raises(RecordTooLarge):
            await appender.append(topic, 0, [Record(b"", None, (("h", b"x" * LIMIT_BYTES),))])

    async def test_no_records_are_no_append(self, log: Log, topic: str) -> None:
        appender = await log.appender()
        await appender.append(topic, 0, numbered(2))
        assert await appender.append(topic, 0, []) == 2
        assert await log.end_offset(topic, 0) == 2

    async def test_a_cancelled_append_leaves_its_appender_whole(self, log: Log, topic: str) -> None:
        appender = await log.appender()
        append = asyncio.create_task(appender.append(topic, 0, numbered(1, "c")))
        await asyncio.sleep(0)
        append.cancel()
        await asyncio.wait([append])
        first = await appender.append(topic, 0, numbered(1, "d"))
        assert values(await read_all(log, topic))[first] == b"d0"

    async def test_a_closed_appender_refuses(self, log: Log, topic: str) -> None:
        appender, other = await log.appender(), await log.appender()
        await appender.close()
        await appender.close()
        with pytest.raises(BusError, match="closed"):
            await appender.append(topic, 0, numbered(1))
        assert await other.append(topic, 0, numbered(1)) == 0

    # -- reading ----------------------------------------------------------------------------

    async def test_a_tail_starts_where_it_is_told(self, log: Log, topic: str) -> None:
        appender = await log.appender()
        await appender.append(topic, 0, numbered(10))
        tail = await log.tail(topic, 0, 4)
        assert tail.position == 4
        assert [record.offset for record in await read_count(tail, 6)] == list(range(4, 10))
        assert tail.position == 10

    async def test_a_read_returns_at_most_what_is_asked_for(self, log: Log, topic: str) -> None:
        appender = await log.appender()
        await appender.append(topic, 0, numbered(10))
        tail = await log.tail(topic, 0, 0)
        bites = [len(await tail.read(3, 5_000)) for _ in range(4)]
        assert bites == [3, 3, 3, 1]

    async def test_a_tail_follows_appends_without_gaps(self, log: Log, topic: str) -> None:
        appender = await log.appender()
        tail = await log.tail(topic, 0, 0)
        reading = asyncio.create_task(read_count(tail, 600))
        for start in range(0, 600, 4):
            await appender.append(topic, 0, numbered(4, f"{start}."))
        assert [record.offset for record in await reading] == list(range(600))

    async def test_a_waiting_tail_wakes_at_once(self, log: Log, topic: str) -> None:
        appender = await log.appender()
        tail = await log.tail(topic, 0, 0)
        delays_s = []
        for number in range(15):
            reading = asyncio.create_task(tail.read(10, 20_000))
            await asyncio.sleep(0.01)
            await appender.append(topic, 0, numbered(1))
            appended_at = time.monotonic()
            assert [record.offset for record in await reading] == [number]
            delays_s.append(time.monotonic() - appended_at)
        assert statistics.median(delays_s) < 0.1

    async def test_silence_is_empty_and_lasts_as_long_as_asked(self, log: Log, topic: str) -> None:
        tail = await log.tail(topic, 0, 0)
        began = time.monotonic()
        assert list(await tail.read(10, 150)) == []
        assert 0.14 <= time.monotonic() - began < 5
        assert list(await tail.read(10, 0)) == []

    async def test_a_cancelled_read_loses_nothing(self, log: Log, topic: str) -> None:
        appender = await log.appender()
        tail = await log.tail(topic, 0, 0)
        reading = asyncio.create_task(tail.read(10, 20_000))
        await asyncio.sleep(0.01)
        reading.cancel()
        await asyncio.wait([reading])
        await appender.append(topic, 0, numbered(3))
        assert [record.offset for record in await read_count(tail, 3)] == [0, 1, 2]

    async def test_seek_goes_back_and_forth(self, log: Log, topic: str) -> None:
        appender = await log.appender()
        await appender.append(topic, 0, numbered(20))
        tail = await log.tail(topic, 0, 0)
        await read_count(tail, 20)
        tail.seek(5)
        assert tail.position == 5
        assert [record.offset for record in await tail.read(2, 5_000)] == [5, 6]
        tail.seek(18)
        assert [record.offset for record in await read_count(tail, 2)] == [18, 19]

    async def test_seek_drops_what_was_fetched_ahead(self, log: Log, topic: str) -> None:
        appender = await log.appender()
        await appender.append(topic, 0, numbered(20))
        tail = await log.tail(topic, 0, 0)
        await tail.read(1, 5_000)
        tail.seek(20)
        await appender.append(topic, 0, numbered(1, "new"))
        assert values(await read_count(tail, 1)) == [b"new0"]

    async def test_an_offset_that_the_log_does_not_have_is_an_error(
        self, log: Log, topic: str
    ) -> None:
        appender = await log.appender()
        await appender.append(topic, 0, numbered(2))
        tail = await log.tail(topic, 0, 7)
        with pytest.raises(CorruptLog):
            await tail.read(10, 5_000)

    async def test_tails_are_independent(self, log: Log, topic: str) -> None:
        appender = await log.appender()
        await appender.append(topic, 0, numbered(5))
        early, late = await log.tail(topic, 0, 0), await log.tail(topic, 0, 3)
        assert len(await read_count(early, 5)) == 5
        assert len(await read_count(late, 2)) == 2

    async def test_a_long_log_is_replayed_whole(self, log: Log, topic: str) -> None:
        appender = await log.appender()
        for start in range(0, 6_000, 1_500):
            await appender.append(topic, 2, numbered(1_500, f"{start}."))
        tail = await log.tail(topic, 2, 0)
        stored = await read_count(tail, 6_000, bite=2_500)
        assert [record.offset for record in stored] == list(range(6_000))

    async def test_a_closed_tail_refuses(self, log: Log, topic: str) -> None:
        tail = await log.tail(topic, 0, 0)
        await tail.close()
        await tail.close()
        with pytest.raises(BusUnavailable):
            await tail.read(1, 0)

    async def test_closing_a_tail_ends_the_read_that_waits(self, log: Log, topic: str) -> None:
        tail = await log.tail(topic, 0, 0)
        reading = asyncio.create_task(tail.read(1, 20_000))
        await asyncio.sleep(0.01)
        await tail.close()
        async with asyncio.timeout(5):
            with pytest.raises(BusUnavailable):
                await reading

    # -- topics -----------------------------------------------------------------------------

    async def test_an_unknown_topic_is_named(self, log: Log, topic: str) -> None:
        appender = await log.appender()
        for name, partition in (("test.nowhere", 0), (topic, 4)):
            with pytest.raises(UnknownTopic, match=name):
                await appender.append(name, partition, numbered(1))
            with pytest.raises(UnknownTopic, match=name):
                await log.tail(name, partition, 0)
            with pytest.raises(UnknownTopic, match=name):
                await log.end_offset(name, partition)
        assert await appender.append(topic, 3, numbered(1)) == 0
        assert "test.nowhere" not in await log.topics()

    async def test_topics_made_by_another_connection_are_found(
        self, log: Log, connect: Connect
    ) -> None:
        name = f"test.{uuid.uuid4().hex}"
        other = await connect()
        appender = await log.appender()
        with pytest.raises(UnknownTopic):
            await appender.append(name, 0, numbered(1))
        await other.create_topics([Topic(name, 2, KEEP)])
        assert await appender.append(name, 1, numbered(1)) == 0
        assert (await log.topics())[name] == 2
        await other.close()

    async def test_creating_again_leaves_what_is_there(self, log: Log, topic: str) -> None:
        appender = await log.appender()
        await appender.append(topic, 0, numbered(3))
        new = f"test.{uuid.uuid4().hex}"
        await log.create_topics([Topic(topic, 4, KEEP), Topic(new, 1)])
        topics = await log.topics()
        assert (topics[topic], topics[new]) == (4, 1)
        assert await log.end_offset(topic, 0) == 3

    async def test_many_may_create_at_once(self, log: Log, connect: Connect) -> None:
        wanted = [Topic(f"test.{uuid.uuid4().hex}", 1, KEEP) for _ in range(3)]
        others = [await connect() for _ in range(3)]
        await asyncio.gather(*(each.create_topics(wanted) for each in (log, *others)))
        assert {topic.name for topic in wanted} <= set(await log.topics())
        await asyncio.gather(*(other.close() for other in others))

    async def test_other_partition_counts_are_a_mismatch(self, log: Log, topic: str) -> None:
        with pytest.raises(TopicMismatch, match=rf"{topic}.* 4 partitions, not 8"):
            await log.create_topics([Topic(topic, 8, KEEP)])
        assert (await log.topics())[topic] == 4

    @pytest.mark.parametrize(
        ("setting", "have", "want"),
        [
            ("cleanup.policy", "compact", "delete"),
            ("retention.ms", "3600000", "-1"),
            ("retention.bytes", "1000000", "-1"),
            ("retention.ms", "3600000", "7200000"),
        ],
    )
    async def test_settings_that_lose_history_are_a_mismatch(
        self, log: Log, setting: str, have: str, want: str
    ) -> None:
        name = f"test.{uuid.uuid4().hex}"
        await log.create_topics([Topic(name, 1, {setting: have})])
        with pytest.raises(TopicMismatch, match=rf"{setting}={have}.*{setting}={want}"):
            await log.create_topics([Topic(name, 1, {setting: want})])

    async def test_settings_that_keep_more_are_left_alone(self, log: Log, topic: str) -> None:
        await log.create_topics([Topic(topic, 4, {"retention.ms": "3600000"})])

    async def test_an_illegal_name_is_refused(self, log: Log) -> None:
        with pytest.raises(BusError, match="not legal"):
            await log.create_topics([Topic("no spaces", 1)])
        with pytest.raises(BusError, match="at least 1"):
            await log.create_topics([Topic("test.none", 0)])

    async def test_compaction_keeps_the_last_of_each_key(self, log: Log) -> None:
        name = f"test.{uuid.uuid4().hex}"
        await log.create_topics([Topic(name, 1, {"cleanup.policy": "compact"})])
        appender = await log.appender()
        for number in range(4):
            sent = [Record(f"{key}{number}".encode(), key.encode()) for key in "ab"]
            assert await appender.append(name, 0, sent) == 2 * number
        assert await appender.append(name, 0, [Record(None, b"a")]) == 8
        stored = await read_all(log, name)
        assert sorted({r.offset for r in stored}) == [record.offset for record in stored]
        last = {record.key: (record.offset, record.value) for record in stored}
        assert last == {b"a": (8, None), b"b": (7, b"b3")}

    async def test_a_compacted_topic_takes_no_record_without_a_key(self, log: Log) -> None:
        name = f"test.{uuid.uuid4().hex}"
        await log.create_topics([Topic(name, 1, {"cleanup.policy": "compact"})])
        appender = await log.appender()
        with pytest.raises(BusError, match="key"):
            await appender.append(name, 0, [Record(b"v", b"k"), Record(b"v")])
        assert await log.end_offset(name, 0) == 0
        assert await appender.append(name, 0, [Record(b"v", b"k")]) == 0

    # -- more than one connection -----------------------------------------------------------

    async def test_connections_see_each_other(self, log: Log, topic: str, connect: Connect) -> None:
        other = await connect()
        tail = await other.tail(topic, 0, 0)
        mine, theirs = await log.appender(), await other.appender()
        firsts = [await each.append(topic, 0, numbered(2)) for each in (mine, theirs, mine)]
        assert firsts == [0, 2, 4]
        assert len(await read_count(tail, 6)) == 6
        await other.close()

    async def test_what_was_acknowledged_is_there_after_reopening(
        self, log: Log, topic: str, connect: Connect
    ) -> None:
        first = await connect()
        appender = await first.appender()
        await appender.append(topic, 0, numbered(5))
        await first.close()
        second = await connect()
        assert values(await read_all(second, topic)) == [r.value for r in numbered(5)]
        assert await (await second.appender()).append(topic, 0, numbered(1)) == 5
        await second.close()

    async def test_closing_closes_everything(self, topic: str, connect: Connect) -> None:
        log = await connect()
        appender, tail = await log.appender(), await log.tail(topic, 0, 0)
        await log.close()
        await log.close()
        with pytest.raises(BusError):
            await appender.append(topic, 0, numbered(1))
        with pytest.raises(BusError):
            await tail.read(1, 0)
