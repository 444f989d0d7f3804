"""What is put together and read by hand is what aiokafka's schemas say, byte for byte."""

from __future__ import annotations

from io import BytesIO

import pytest
from aiokafka import TopicPartition
from aiokafka.errors import IncompatibleBrokerVersion
from aiokafka.protocol.fetch import FetchRequest_v11, FetchResponse_v11
from aiokafka.protocol.produce import ProduceRequest_v7, ProduceResponse_v7

from folkmoot.bus.kafka.wire import (
    Fetched,
    Produced,
    WireRequest,
    fetch_request,
    produce_request,
    read_fetched,
    read_produced,
)

A, B = TopicPartition("a.ä", 0), TopicPartition("b", 7)


def test_a_produce_request() -> None:
    theirs = ProduceRequest_v7(
        transactional_id=None,
        required_acks=-1,
        timeout=5_000,
        topics=[(A.topic, [(0, b"first")]), (B.topic, [(7, b"")])],
    )
    assert produce_request({A: b"first", B: b""}, 5_000).encode() == theirs.encode()


def test_an_answer_to_a_produce_request() -> None:
    topics = [(A.topic, [(0, 0, 41, -1, 0), (1, 6, -1, -1, -1)]), (B.topic, [(7, 0, 2**40, 5, 9)])]
    answer = ProduceResponse_v7(topics=topics, throttle_time_ms=0).encode()
    assert read_produced(answer) == {
        A: Produced(0, 41),
        TopicPartition(A.topic, 1): Produced(6, -1),
        B: Produced(0, 2**40),
    }


def test_a_fetch_request() -> None:
    theirs = FetchRequest_v11(
        replica_id=-1,
        max_wait_time=500,
        min_bytes=1,
        max_bytes=4_096,
        isolation_level=0,
        session_id=0,
        session_epoch=-1,
        topics=[(A.topic, [(0, -1, 2**40, -1, 4_096)])],
        forgotten_topics_data=[],
        rack_id="",
    )
    assert fetch_request(A, 2**40, 500, 4_096).encode() == theirs.encode()


@pytest.mark.parametrize("aborted", [None, [], [(1, 2), (3, 4)]])
@pytest.mark.parametrize(("code", "records"), [(0, b"batches"), (0, None), (1, b"")])
def test_an_answer_to_a_fetch_request(
    aborted: list[tuple[int, int]] | None, code: int, records: bytes | None
) -> None:
    place = (0, code, 9, 9, 0, aborted, -1, records)
    answer = FetchResponse_v11(0, 0, 0, [(A.topic, [place])]).encode()
    assert read_fetched(answer) == Fetched(code, records or b"")


def test_a_fetch_that_is_refused_as_a_whole() -> None:
    assert read_fetched(FetchResponse_v11(0, 70, 0, []).encode()) == Fetched(70, b"")


def test_headers_are_those_of_aiokafka() -> None:
    ours, theirs = fetch_request(A, 0, 1, 1), FetchRequest_v11()
    header = ours.build_request_header(correlation_id=77, client_id="me").encode()
    assert header == theirs.build_request_header(correlation_id=77, client_id="me").encode()
    answer = BytesIO(b"\x00\x00\x00\x4dthe rest")
    assert ours.parse_response_header(answer).correlation_id == 77
    assert ours.RESPONSE_TYPE.decode(answer) == b"the rest"


@pytest.mark.parametrize("versions", [{}, {1: (0, 10)}, {1: (12, 17)}])
def test_a_broker_of_another_age_is_refused(versions: dict[int, tuple[int, int]]) -> None:
    request = WireRequest(1, 11, b"")
    assert request.prepare({1: (4, 17)}) is request
    with pytest.raises(IncompatibleBrokerVersion, match="not 11"):
        request.prepare(versions)
