"""Reading one partition of Kafka: a connection of its own, and one fetch at a time.

A fetch that is shared by many tails would make a new one wait until the long poll that lacks its
partition is over, and so would a connection, on which a broker answers in order.

Invariants:

- An offset that the log does not have is an error; nothing is reset silently.
- Silence is reported only while the broker answers.
- Nothing is fetched before the first read or seek, so that a tail kept ready for later costs no
  traffic, and gives its first record in one round trip. From then on the next fetch is under way
  while what the last one brought is handled.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Iterator, Sequence

from aiokafka import TopicPartition
from aiokafka.client import AIOKafkaClient
from aiokafka.errors import (
    CorruptRecordException,
    OffsetOutOfRangeError,
)
from aiokafka.record.memory_records import MemoryRecords

from folkmoot.bus.cancelling import heed_cancellation, leave, undisturbed
from folkmoot.bus.kafka.brokers import LOST, REQUEST_TIMEOUT_MS, Brokers
from folkmoot.bus.kafka.clients import (
    RETRY_S,
    check,
    close_client,
    is_passing,
    leader_of,
    refresh,
    starting_client,
)
from folkmoot.bus.kafka.wire import fetch_request, read_fetched
from folkmoot.bus.ports import BusUnavailable, CorruptLog, Stored

FETCH_WAIT_MS = 500  # how long a broker holds a fetch that finds nothing
FETCH_BYTES = 4 * 1024 * 1024
DEAF_AFTER_S = 2.0  # without an answered fetch; several times `FETCH_WAIT_MS`, for a busy machine


class KafkaTail:
    """The `Tail` port."""

    def __init__(
        self,
        brokers: Brokers,
        client: AIOKafkaClient,
        place: TopicPartition,
        offset: int,
        on_close: Callable[[KafkaTail], None],
    ) -> None:
        self._brokers = brokers
        self.client = client
        self._place = place
        self._fetched: deque[Stored] = deque()
        self._next = offset  # what is fetched next
        self._on_close = on_close
        self._closed = False
        self._loop = asyncio.get_running_loop()
        self._fetching: asyncio.Task[None] | None = None
        self._answered_at = 0.0  # the last fetch
        self._silence_s = 0.0  # for which somebody waited since

    @classmethod
    async def open(
        cls,
        brokers: Brokers,
        topic: str,
        partition: int,
        offset: int,
        on_close: Callable[[KafkaTail], None],
    ) -> KafkaTail:
        """Return a tail of an existing partition, connected to who leads it."""
        place = TopicPartition(topic, partition)
        async with starting_client(brokers) as client:
            await client.ready(await leader_of(client, place, REQUEST_TIMEOUT_MS / 1000))
        return cls(brokers, client, place, offset, on_close)

    @property
    def position(self) -> int:
        """See the port."""
        return self._fetched[0].offset if self._fetched else self._next

    async def read(self, max_records: int, timeout_ms: int) -> Sequence[Stored]:
        """See the port.

        Raises:
            CorruptLog: the log has no record at this position, or one that cannot be read.
        """
        timeout_s, began, waited_s = timeout_ms / 1000, self._loop.time(), 0.0
        while not self._fetched:
            await self._wait(timeout_s - waited_s)
            now = self._loop.time()
            waited_s = now - began
            if not self._fetched and waited_s > timeout_s:
                self._note_silence(min(now - max(began, self._answered_at), 2 * timeout_s))
                return ()
        records = [self._fetched.popleft() for _ in range(min(max_records, len(self._fetched)))]
        self._begin()
        return records

    async def _wait(self, timeout_s: float) -> None:
        """Wait for what is being fetched, or for `timeout_s`."""
        self._begin()
        if (task := self._fetching) is not None:
            await asyncio.wait([task], timeout=timeout_s)
        if self._closed:
            raise BusUnavailable("This tail is closed. Ask the log for another one.")
        if task is not None and task.done() and self._fetching is task:  # it failed
            self._fetching = None
            self._heed(task)

    def _heed(self, task: asyncio.Task[None]) -> None:
        """Raise what went wrong with a fetch, as the port has it."""
        try:
            task.result()
        except OffsetOutOfRangeError as error:
            raise self._corrupt(
                "there is no such record: it has expired, or the topic was truncated or made anew"
            ) from error
        except (CorruptRecordException, UnicodeDecodeError) as error:
            raise self._corrupt(f"the record cannot be read: {error}") from error
        except LOST as error:
            heed_cancellation()
            self._brokers.note(error)
            raise self._brokers.unavailable(repr(error)) from error

    def _begin(self) -> None:
        """Fetch, unless that is going on or there is something to read."""
        if self._fetching is None and not self._fetched and not self._closed:
            self._fetching = leave(self._fetch())

    async def _fetch(self) -> None:
        """Fetch once, whatever it takes; what is found stands in `_fetched`.

        Raises:
            KafkaError: that will not do.
        """
        offset = self._next
        while (records := await self._attempt(offset)) is None:
            await asyncio.sleep(RETRY_S)
            await refresh(self.client, self._place.topic, REQUEST_TIMEOUT_MS / 1000)
        self._answered_at, self._silence_s = self._loop.time(), 0.0
        if offset == self._next:  # nobody has sought another place meanwhile
            self._fetched.extend(self._read(records))
        self._fetching = None

    async def _attempt(self, offset: int) -> bytes | None:
        """Ask once for what stands at `offset`; None if one should ask again."""
        request = fetch_request(self._place, offset, FETCH_WAIT_MS, FETCH_BYTES)
        try:
            node = await leader_of(self.client, self._place, REQUEST_TIMEOUT_MS / 1000)
            fetched = read_fetched(await self.client.send(node, request))
            check(fetched.code, f"reading {self._place} at {offset}")
        except LOST as error:
            if not is_passing(error):
                raise
            return None
        return fetched.records

    def _read(self, fetched: bytes) -> Iterator[Stored]:
        """Yield the records in `fetched`, from where this tail is; it is behind them afterwards."""
        batches = MemoryRecords(fetched)
        while batches.has_next():
            batch = batches.next_batch()
            if not batch.validate_crc():
                raise CorruptRecordException(f"its checksum is wrong, at {self._next}")
            if not batch.is_control_batch:
                for r in batch:
                    if r.offset >= self._next:  # a batch may begin before what was asked for
                        headers = tuple([(name, value or b"") for name, value in r.headers])
                        yield Stored(r.offset, r.timestamp, r.value, r.key, headers)
            self._next = batch.next_offset

    def seek(self, offset: int) -> None:
        """See the port."""
        if offset != self.position:
            self._fetched.clear()
            self._next = offset
        self._begin()

    async def close(self) -> None:
        """See the port. A read that waits fails with `BusUnavailable`."""
        if not self._closed:
            self._closed = True
            self._on_close(self)
            if self._fetching is not None:
                self._fetching.cancel()
            await undisturbed(close_client(self.client))

    def _note_silence(self, waited_s: float) -> None:
        """Tell a silent log from a broker that is gone."""
        self._silence_s += waited_s
        if self._silence_s > DEAF_AFTER_S:
            raise self._brokers.unavailable(f"no fetch answered for {DEAF_AFTER_S:.0f} s")

    def _corrupt(self, why: str) -> CorruptLog:
        return CorruptLog(
            f"Reading partition {self._place.partition} of topic {self._place.topic!r} at offset "
            f"{self.position} failed: {why}. Restore the topic, or start from a new one."
        )
