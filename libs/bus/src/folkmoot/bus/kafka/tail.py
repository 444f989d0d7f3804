"""Reading one partition of Kafka: a consumer of its own, its one partition assigned by hand.

A consumer shared by many tails would make a new one wait until the long poll that lacks its
partition is over.

Invariants:

- An offset that the log does not have is an error; nothing is reset silently.
- Silence is reported only while the broker answers: aiokafka itself retries for ever and says
  nothing, so the time of its last answered fetch is watched.
- Nothing is fetched before the first read or seek, so that a tail kept ready for later costs no
  traffic, and gives its first record in one round trip.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence

from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.errors import (
    ConsumerStoppedError,
    CorruptRecordException,
    OffsetOutOfRangeError,
)

from folkmoot.bus.cancelling import heed_cancellation
from folkmoot.bus.kafka.brokers import LOST, Brokers
from folkmoot.bus.kafka.consumers import start_consumer, stop_consumer
from folkmoot.bus.ports import BusUnavailable, CorruptLog, Stored

FETCH_WAIT_MS = 500  # how long a broker holds a fetch that finds nothing
FETCH_BYTES = 4 * 1024 * 1024
DEAF_AFTER_S = 2.0  # without an answered fetch; several times `FETCH_WAIT_MS`, for a busy machine


class KafkaTail:
    """The `Tail` port."""

    def __init__(
        self,
        brokers: Brokers,
        consumer: AIOKafkaConsumer,
        place: TopicPartition,
        offset: int,
        on_close: Callable[[KafkaTail], None],
    ) -> None:
        self._brokers = brokers
        self._consumer = consumer
        self._place = place
        self._position = offset
        self._on_close = on_close
        self._closed = False
        self._loop = asyncio.get_running_loop()
        self._answered: object = None  # the last answered fetch, as aiokafka marks it
        self._answered_at = self._loop.time()

    @classmethod
    async def open(
        cls,
        brokers: Brokers,
        topic: str,
        partition: int,
        offset: int,
        on_close: Callable[[KafkaTail], None],
    ) -> KafkaTail:
        """Return a tail of an existing partition."""
        place = TopicPartition(topic, partition)
        consumer = await start_consumer(
            brokers, fetch_max_wait_ms=FETCH_WAIT_MS, max_partition_fetch_bytes=FETCH_BYTES
        )
        consumer.assign([place])
        consumer.pause(place)
        consumer.seek(place, offset)
        return cls(brokers, consumer, place, offset, on_close)

    @property
    def position(self) -> int:
        """See the port."""
        return self._position

    async def read(self, max_records: int, timeout_ms: int) -> Sequence[Stored]:
        """See the port.

        Raises:
            CorruptLog: the log has no record at this position, or one that cannot be read.
        """
        self._begin()
        try:
            fetched = await self._consumer.getmany(
                self._place, timeout_ms=timeout_ms, max_records=max_records
            )
        except ConsumerStoppedError:
            fetched = {}
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
        records = fetched.get(self._place)
        if not records:
            self._check_hearing()
            return ()
        self._position = records[-1].offset + 1
        return [
            Stored(
                r.offset, r.timestamp, r.value, r.key, tuple((k, v or b"") for k, v in r.headers)
            )
            for r in records
        ]

    def _begin(self) -> None:
        if not self._closed and self._consumer.paused():
            self._answered_at = self._loop.time()
            self._consumer.resume(self._place)

    def seek(self, offset: int) -> None:
        """See the port."""
        if offset != self._position:
            self._position = offset
            self._consumer.seek(self._place, offset)
        self._begin()

    async def close(self) -> None:
        """See the port. A read that waits fails with `BusUnavailable`."""
        if not self._closed:
            self._closed = True
            self._on_close(self)
            await stop_consumer(self._consumer)

    def _check_hearing(self) -> None:
        """Tell a silent log from a broker that is gone."""
        if self._closed:
            raise BusUnavailable("This tail is closed. Ask the log for another one.")
        now = self._loop.time()
        answered = self._consumer.last_poll_timestamp(self._place)
        if answered != self._answered:
            self._answered, self._answered_at = answered, now
        elif now - self._answered_at > DEAF_AFTER_S:
            raise self._brokers.unavailable(f"no fetch answered for {DEAF_AFTER_S:.0f} s")

    def _corrupt(self, why: str) -> CorruptLog:
        return CorruptLog(
            f"Reading partition {self._place.partition} of topic {self._place.topic!r} at offset "
            f"{self._position} failed: {why}. Restore the topic, or start from a new one."
        )
