"""Sends spans by OTLP over gRPC, without the event loop ever waiting for it.

There is no tracer provider and no id generator: a span is written as the log tells it, ids
included, so that nothing of this can leak into the spans of the program around it.

Bounded: a queue of `QUEUE_SPANS_MAX` spans, of which the oldest is dropped when it is full. What is
dropped is counted. The collector's outage costs spans, and nothing else.
"""

from __future__ import annotations

import asyncio
import logging
from collections import OrderedDict, deque
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

from opentelemetry.exporter.otlp.proto.grpc.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import Event, ReadableSpan
from opentelemetry.sdk.trace.export import SpanExporter, SpanExportResult
from opentelemetry.sdk.util.instrumentation import InstrumentationScope
from opentelemetry.trace import Link, SpanContext, SpanKind, Status, StatusCode, TraceFlags

from folkmoot.core.tracing import NO_SPAN, Span

QUEUE_SPANS_MAX = 20_000
"""Four seconds of what one process can export at most; some 20 MB."""

BATCH_SPANS_MAX = 512
"""Spans in one request, as OpenTelemetry's own processor has it."""

GATHER_S = 0.25
"""How long spans are gathered before they are sent: little, so that a crash loses few."""

EXPORT_TIMEOUT_S = 5
"""For one request with the exporter's own retries."""

TRIES_MAX = 3
"""Requests after which a batch is given up, in case that it is the batch that is wrong."""

SENT_REMEMBERED_MAX = 20_000
"""Spans that are known to be sent, and are not sent again."""

SCOPE = InstrumentationScope("folkmoot")
_KINDS = {
    "internal": SpanKind.INTERNAL,
    "producer": SpanKind.PRODUCER,
    "consumer": SpanKind.CONSUMER,
}
_NS_PER_MS = 1_000_000

logger = logging.getLogger(__name__)

OnSent = Callable[[], None]


@dataclass(frozen=True, slots=True)
class _Waiting:
    """Spans that ended together, and who wants to know that they are sent."""

    spans: Sequence[Span]
    on_sent: OnSent | None


class SpanSender:
    """The queue in front of an exporter, and the thread that it runs in."""

    def __init__(self, exporter: SpanExporter, resource: Resource, system: str) -> None:
        self._exporter, self._resource, self._system = exporter, resource, system
        self._waiting: deque[_Waiting] = deque()
        self._size = 0
        self._arrived = asyncio.Event()
        self._sending = asyncio.Lock()
        self._sent: OrderedDict[tuple[int, int], None] = OrderedDict()
        self._thread = ThreadPoolExecutor(1, "folkmoot-otlp")
        self.exported = self.dropped = 0

    def put(self, spans: Sequence[Span], on_sent: OnSent | None = None) -> None:
        """Queue spans; those that were sent before are passed over."""
        new = [span for span in spans if (span.trace_id, span.span_id) not in self._sent]
        self._waiting.append(_Waiting(new, on_sent))
        self._size += len(new)
        while self._size > QUEUE_SPANS_MAX and self._waiting:
            self._drop(self._waiting.popleft())
        self._arrived.set()

    def _drop(self, lost: _Waiting) -> None:
        self._size -= len(lost.spans)
        self.dropped += len(lost.spans)

    async def run(self) -> None:
        """Send what comes, for as long as this runs."""
        try:
            while True:
                await self._arrived.wait()
                await asyncio.sleep(GATHER_S)
                await self.flush()
        finally:
            self._thread.submit(self._exporter.shutdown)
            self._thread.shutdown(wait=False)

    async def flush(self) -> None:
        """Send all that waits."""
        async with self._sending:
            self._arrived.clear()
            while self._waiting:
                await self._send(self._take())

    def _take(self) -> list[_Waiting]:
        batch: list[_Waiting] = []
        size = 0
        while self._waiting and (not batch or size < BATCH_SPANS_MAX):
            batch.append(self._waiting.popleft())
            size += len(batch[-1].spans)
        return batch

    async def _send(self, batch: Sequence[_Waiting]) -> None:
        spans = {(s.trace_id, s.span_id): s for each in batch for s in each.spans}
        distinct = list(spans.values())
        for first in range(0, len(distinct), BATCH_SPANS_MAX):
            await self._request(distinct[first : first + BATCH_SPANS_MAX])
        self._size -= sum(len(each.spans) for each in batch)
        self._remember(spans)
        for each in batch:
            if each.on_sent is not None:
                each.on_sent()

    async def _request(self, spans: Sequence[Span]) -> None:
        loop = asyncio.get_running_loop()
        for _ in range(TRIES_MAX):
            if await loop.run_in_executor(self._thread, self._export, spans):
                self.exported += len(spans)
                return
        self.dropped += len(spans)

    def _remember(self, spans: Mapping[tuple[int, int], Span]) -> None:
        self._sent.update(dict.fromkeys(spans))
        while len(self._sent) > SENT_REMEMBERED_MAX:
            self._sent.popitem(last=False)

    def _export(self, spans: Sequence[Span]) -> bool:
        """Encode and send, in the exporter's thread."""
        readable = [to_otel(span, self._resource, self._system) for span in spans]
        return self._exporter.export(readable) is SpanExportResult.SUCCESS


def exporter(endpoint: str) -> SpanExporter:
    """Return an exporter to a collector; it is contacted when there is something to send."""
    return OTLPSpanExporter(endpoint=endpoint, timeout=EXPORT_TIMEOUT_S)


def resource(service: str) -> Resource:
    """Return who the spans come from: the service, not the process, since any would tell them.

    So a span that is sent by two processes is one and the same, and back-ends can see that.
    """
    return Resource(
        {"service.name": f"folkmoot-{service}", "service.namespace": "folkmoot"},
    )


def to_otel(span: Span, of: Resource, system: str) -> ReadableSpan:
    """Return a span as OpenTelemetry's exporters take it."""
    attributes = dict(span.attributes)
    if "messaging.destination.name" in attributes:
        attributes["messaging.system"] = system
    error = span.error
    return ReadableSpan(
        span.name,
        _context(span.trace_id, span.span_id),
        _context(span.trace_id, span.parent) if span.parent != NO_SPAN else None,
        of,
        attributes,
        [Event(m.name, dict(m.attributes), m.at * _NS_PER_MS) for m in span.moments],
        [Link(_context(k.trace_id, k.span_id), dict(k.attributes)) for k in span.links],
        _KINDS[span.kind],
        status=Status(StatusCode.UNSET) if error is None else Status(StatusCode.ERROR, error),
        start_time=span.began_at * _NS_PER_MS,
        end_time=max(span.began_at, span.ended_at) * _NS_PER_MS,
        instrumentation_scope=SCOPE,
    )


def _context(trace_id: int, span_id: int) -> SpanContext:
    flags = TraceFlags(TraceFlags.SAMPLED)
    return SpanContext(trace_id, span_id, is_remote=False, trace_flags=flags)
