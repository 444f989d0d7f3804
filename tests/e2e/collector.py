"""A collector of traces that keeps what it is sent, and can say what is wrong with it."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import grpc
from opentelemetry.proto.collector.trace.v1 import trace_service_pb2 as wire
from opentelemetry.proto.collector.trace.v1 import trace_service_pb2_grpc as service

from folkmoot.core.tracing import SPANS


@dataclass(frozen=True)
class Received:
    """A span as it came. `bits` is all of it, with who sent it."""

    name: str
    trace_id: str
    span_id: str
    parent: str
    service: str
    began_at: int
    ended_at: int
    failed: bool
    attributes: Mapping[str, Any]
    events: tuple[str, ...]
    links: tuple[str, ...]
    bits: bytes = field(repr=False)


class Collector(service.TraceServiceServicer):
    """Keeps every span that it is sent, those that come twice included."""

    def __init__(self) -> None:
        self.endpoint = ""
        self.received: list[Received] = []

    def Export(self, request: Any, context: Any) -> Any:  # noqa: N802 - as the protocol calls it
        for of in request.resource_spans:
            name = _values(of.resource.attributes)["service.name"]
            resource = of.resource.SerializeToString(deterministic=True)
            for scope in of.scope_spans:
                self.received += [_received(span, name, resource) for span in scope.spans]
        return wire.ExportTraceServiceResponse()

    @classmethod
    @contextmanager
    def serving(cls) -> Iterator[Collector]:
        """Serve on a free port."""
        server = grpc.server(ThreadPoolExecutor(2))
        made = cls()
        service.add_TraceServiceServicer_to_server(made, server)  # type: ignore[no-untyped-call]
        made.endpoint = f"http://127.0.0.1:{server.add_insecure_port('127.0.0.1:0')}"
        server.start()
        try:
            yield made
        finally:
            server.stop(grace=None).wait()

    # -- what it was sent -------------------------------------------------------------------

    def spans(self, saga_id: str) -> dict[str, Received]:
        """Return a saga's spans by id. One that came twice must have come the same."""
        found: dict[str, Received] = {}
        for span in list(self.received):
            if span.attributes.get("folkmoot.saga.id") == saga_id:
                known = found.setdefault(span.span_id, span)
                assert known.bits == span.bits, f"two spans have one id: {known} and {span}"
        return found

    def is_whole(self, saga_id: str) -> bool:
        """Whether the saga's root has come, and the parent of every other span."""
        return bool(self.roots(saga_id)) and not self.orphans(saga_id)

    def roots(self, saga_id: str) -> list[Received]:
        """Return the spans of the saga as a whole: one, when it has ended."""
        return [span for span in self.spans(saga_id).values() if span.name.startswith("saga ")]

    def orphans(self, saga_id: str) -> list[Received]:
        """Return the spans whose parent has not come, less the root's."""
        spans = self.spans(saga_id)
        inner = [span for span in spans.values() if not span.name.startswith("saga ")]
        return [span for span in inner if span.parent not in spans]

    def undeclared(self) -> list[str]:
        """Return what it was sent that the schema of traces does not have."""
        problems = []
        for span in self.received:
            declared = SPANS.get(span.name.partition(" ")[0])
            known = frozenset() if declared is None else declared.attributes
            problems += [f"{span.name}: {name}" for name in span.attributes.keys() - known]
        return problems

    def doubled(self, saga_id: str) -> list[str]:
        """Return the names of spans that came more than once."""
        came: defaultdict[str, list[str]] = defaultdict(list)
        for span in list(self.received):
            if span.attributes.get("folkmoot.saga.id") == saga_id:
                came[span.span_id].append(span.name)
        return [names[0] for names in came.values() if len(names) > 1]

    def edges(self, saga_id: str) -> list[str]:
        """Return each span below the name of its parent, in the order of their beginning."""
        spans = self.spans(saga_id)
        ordered = sorted(spans.values(), key=lambda span: (span.began_at, _label(span)))
        return sorted(
            f"{_label(spans[span.parent])} > {_label(span)}"
            for span in ordered
            if span.parent in spans
        )


def _label(span: Received) -> str:
    attempt = span.attributes.get("folkmoot.step.attempt")
    numbered = span.name.startswith(("step", "compensate")) and attempt is not None
    run = span.attributes.get("folkmoot.run")
    label = f"{span.name} {attempt}" if numbered else span.name
    label += f" run {run}" if run is not None else ""
    return f"{label} failed" if span.failed else label


def _received(span: Any, name: str, resource: bytes) -> Received:
    return Received(
        span.name,
        span.trace_id.hex(),
        span.span_id.hex(),
        span.parent_span_id.hex(),
        name,
        span.start_time_unix_nano,
        span.end_time_unix_nano,
        span.status.code == span.status.STATUS_CODE_ERROR,
        _values(span.attributes),
        tuple(event.name for event in span.events),
        tuple(link.span_id.hex() for link in span.links),
        resource + span.SerializeToString(deterministic=True),
    )


def _values(attributes: Any) -> dict[str, Any]:
    return {each.key: getattr(each.value, each.value.WhichOneof("value")) for each in attributes}
