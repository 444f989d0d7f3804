"""Produce and Fetch, the two requests that carry every record, as they cross the wire.

aiokafka builds requests from schemas, field by field, and takes records through queues and tasks of
its own, which costs several times what the system needs to send and receive them. Here a request is
bytes at once, and an answer is read where it lies. Connections, signing in, TLS, what is where, and
the record batches themselves remain aiokafka's.

Sources: the Kafka protocol guide, Produce v7 (Kafka 2.1 and newer) and Fetch v11 (2.3 and newer).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from io import BytesIO
from struct import Struct
from typing import Self

from aiokafka import TopicPartition
from aiokafka.errors import IncompatibleBrokerVersion

PRODUCE, PRODUCE_VERSION = 0, 7
FETCH, FETCH_VERSION = 1, 11
ALL_IN_SYNC = -1  # acks
NO_SESSION = -1  # every fetch says by itself what it wants (KIP-227)
NONE = -1  # of what may be absent: a length, a replica's id, an epoch

_HEADER = Struct(">hhih")  # api, version, correlation id, length of the client's name
_CORRELATION = Struct(">i")
_COUNT = Struct(">i")
_LENGTH = Struct(">h")
_PRODUCE = Struct(">hhii")  # transactional id, acks, timeout, topics
_BATCH = Struct(">iii")  # partitions, partition, length of the batch
_PRODUCED = Struct(">ihqqq")  # partition, error, first offset, append time, log start
_FETCH = Struct(">iiiibiii")  # replica, wait, least, most bytes, isolation, session, epoch, topics
_FETCH_PLACE = Struct(">iiiqqi")  # partitions, partition, epoch, offset, log start, bytes
_FETCH_END = Struct(">ih")  # topics forgotten, length of the rack's name
_FETCHED = Struct(">ihii")  # throttled, error, session, topics
_FETCHED_PLACE = Struct(">iihqqqi")  # partitions, partition, error, three offsets, aborted
_FETCHED_RECORDS = Struct(">ii")  # preferred replica, length of the records
_ABORTED_BYTES = 16


class WireRequest:
    """A request that is bytes already, where aiokafka expects one of its own.

    aiokafka's connection asks a request for its header and its body, and afterwards to read the
    answer's; see `AIOKafkaConnection.send` and `_handle_frame`.
    """

    __slots__ = ("_api", "_body", "_version")

    def __init__(self, api: int, version: int, body: bytes) -> None:
        self._api, self._version, self._body = api, version, body

    def prepare(self, versions: Mapping[int, tuple[int, int]]) -> Self:
        """Check that the broker takes it.

        Raises:
            IncompatibleBrokerVersion: it is too old, or newer than anything known.
        """
        least, most = versions.get(self._api, (0, NONE))
        if not least <= self._version <= most:
            raise IncompatibleBrokerVersion(
                f"the broker takes versions {least} to {most} of request {self._api}, "
                f"not {self._version}"
            )
        return self

    def build_request_header(self, correlation_id: int, client_id: str) -> Encoded:
        """Return the header of the request."""
        name = client_id.encode()
        return Encoded(_HEADER.pack(self._api, self._version, correlation_id, len(name)) + name)

    def encode(self) -> bytes:
        """Return the body of the request."""
        return self._body

    @staticmethod
    def parse_response_header(answer: BytesIO) -> AnswerHeader:
        """Return the header of the answer."""
        return AnswerHeader(_CORRELATION.unpack(answer.read(_CORRELATION.size))[0])

    @property
    def RESPONSE_TYPE(self) -> Self:  # noqa: N802 - aiokafka's name
        """What reads the answer's body."""
        return self

    @staticmethod
    def decode(answer: BytesIO) -> bytes:
        """Return the answer's body, to be read by whoever asked."""
        return answer.read()


@dataclass(frozen=True, slots=True)
class Encoded:
    """A header that is bytes already."""

    value: bytes

    def encode(self) -> bytes:
        """Return it."""
        return self.value


@dataclass(frozen=True, slots=True)
class AnswerHeader:
    """Which request is answered."""

    correlation_id: int


@dataclass(frozen=True, slots=True)
class Produced:
    """What became of one batch: Kafka's error code, 0 for none, and where it stands."""

    code: int
    offset: int


@dataclass(frozen=True, slots=True)
class Fetched:
    """What one partition holds from the offset that was asked for, as record batches."""

    code: int
    records: bytes


def produce_request(batches: Mapping[TopicPartition, bytes], timeout_ms: int) -> WireRequest:
    """Return the request to append a batch to each of these partitions, acknowledged by all."""
    parts = [_PRODUCE.pack(NONE, ALL_IN_SYNC, timeout_ms, len(batches))]
    for place, batch in batches.items():
        topic = place.topic.encode()
        parts += (_LENGTH.pack(len(topic)), topic)
        parts += (_BATCH.pack(1, place.partition, len(batch)), batch)
    return WireRequest(PRODUCE, PRODUCE_VERSION, b"".join(parts))


def read_produced(answer: bytes) -> dict[TopicPartition, Produced]:
    """Return what became of each batch."""
    produced = {}
    (topics,), at = _COUNT.unpack_from(answer), _COUNT.size
    for _ in range(topics):
        topic, at = _text(answer, at)
        (partitions,), at = _COUNT.unpack_from(answer, at), at + _COUNT.size
        for _ in range(partitions):
            partition, code, offset, _time, _start = _PRODUCED.unpack_from(answer, at)
            at += _PRODUCED.size
            produced[TopicPartition(topic, partition)] = Produced(code, offset)
    return produced


def fetch_request(place: TopicPartition, offset: int, wait_ms: int, bytes_max: int) -> WireRequest:
    """Return the request for what stands at `offset`, answered at once or after `wait_ms`."""
    topic = place.topic.encode()
    body = (
        _FETCH.pack(NONE, wait_ms, 1, bytes_max, 0, 0, NO_SESSION, 1),
        _LENGTH.pack(len(topic)),
        topic,
        _FETCH_PLACE.pack(1, place.partition, NONE, offset, NONE, bytes_max),
        _FETCH_END.pack(0, 0),
    )
    return WireRequest(FETCH, FETCH_VERSION, b"".join(body))


def read_fetched(answer: bytes) -> Fetched:
    """Return what the one partition holds that was asked for."""
    _throttled, code, _session, topics = _FETCHED.unpack_from(answer)
    if code or not topics:
        return Fetched(code, b"")
    _topic, at = _text(answer, _FETCHED.size)
    _n, _partition, code, _high, _stable, _start, aborted = _FETCHED_PLACE.unpack_from(answer, at)
    at += _FETCHED_PLACE.size + max(0, aborted) * _ABORTED_BYTES
    _replica, size = _FETCHED_RECORDS.unpack_from(answer, at)
    at += _FETCHED_RECORDS.size
    return Fetched(code, answer[at : at + max(0, size)])


def _text(answer: bytes, at: int) -> tuple[str, int]:
    """Return the text at `at`, and where it ends."""
    (length,) = _LENGTH.unpack_from(answer, at)
    at += _LENGTH.size
    return answer[at : at + length].decode(), at + length
