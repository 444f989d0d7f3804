"""Spans are sent beside the loop, in bounded number; what is lost is counted."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager

import pytest
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.sdk.trace.export import SpanExporter, SpanExportResult

from folkmoot.core.tracing import Span
from folkmoot.runtime import otlp
from folkmoot.runtime.otlp import SpanSender, resource, to_otel
from folkmoot.testing.eventually import eventually


class Exporter(SpanExporter):
    """Takes its time, and fails, as the test has it."""

    def __init__(self) -> None:
        self.requests: list[list[int]] = []
        self.failures = 0
        self.may_go_on = threading.Event()
        self.may_go_on.set()
        self.closed = self.entered = False

    def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
        self.entered = True
        self.may_go_on.wait()
        if self.failures:
            self.failures -= 1
            return SpanExportResult.FAILURE
        self.requests.append([span.context.span_id for span in spans])
        return SpanExportResult.SUCCESS

    def shutdown(self) -> None:
        self.closed = True

    @property
    def sent(self) -> list[int]:
        return [span for request in self.requests for span in request]


def span(number: int) -> Span:
    return Span("step x", 7, number, 1, 1_000, 2_000)


@pytest.fixture
def exporter() -> Exporter:
    return Exporter()


@asynccontextmanager
async def sending(exporter: Exporter) -> AsyncIterator[SpanSender]:
    sender = SpanSender(exporter, resource("test"), "kafka")
    running = asyncio.create_task(sender.run())
    await asyncio.sleep(0)
    yield sender
    running.cancel()
    await asyncio.gather(running, return_exceptions=True)


async def test_the_loop_does_not_wait_for_a_collector_that_hangs(exporter: Exporter) -> None:
    exporter.may_go_on.clear()
    async with sending(exporter) as sender:
        sender.put([span(1)])
        await eventually(lambda: exporter.entered)  # which the loop finds out while it hangs
        assert exporter.sent == []
        exporter.may_go_on.set()
        await eventually(lambda: exporter.sent == [1])
    await eventually(lambda: exporter.closed)


async def test_a_full_queue_drops_the_oldest_and_counts_them(
    exporter: Exporter, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(otlp, "QUEUE_SPANS_MAX", 3)
    async with sending(exporter) as sender:
        for number in range(1, 6):
            sender.put([span(number)])
        await sender.flush()
        assert exporter.sent == [3, 4, 5]
        assert (sender.exported, sender.dropped) == (3, 2)


async def test_requests_are_of_bounded_size(
    exporter: Exporter, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(otlp, "BATCH_SPANS_MAX", 2)
    async with sending(exporter) as sender:
        sender.put([span(number) for number in range(1, 6)])
        await sender.flush()
    assert exporter.requests == [[1, 2], [3, 4], [5]]


async def test_a_request_that_fails_is_made_again_and_given_up_in_the_end(
    exporter: Exporter,
) -> None:
    async with sending(exporter) as sender:
        exporter.failures = otlp.TRIES_MAX - 1
        sender.put([span(1)])
        await sender.flush()
        exporter.failures = otlp.TRIES_MAX
        sender.put([span(2)])
        await sender.flush()
        assert exporter.sent == [1]
        assert (sender.exported, sender.dropped) == (1, 1)


async def test_a_span_is_sent_once_and_each_who_gave_it_is_told(exporter: Exporter) -> None:
    told: list[str] = []
    async with sending(exporter) as sender:
        sender.put([span(1)], lambda: told.append("first"))
        await sender.flush()
        sender.put([span(1), span(2)], lambda: told.append("second"))
        await sender.flush()
    assert exporter.sent == [1, 2]
    assert told == ["first", "second"]


def test_a_span_says_the_same_whoever_sends_it() -> None:
    one, other = (to_otel(span(1), resource("test"), "kafka") for _ in range(2))
    assert one.to_json() == other.to_json()
    assert "service.instance.id" not in resource("test").attributes
