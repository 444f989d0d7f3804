"""A saga's trace from its history: the same spans that services export, without any collector.

The logs have all of it but one thing: when a handler began a call that it journaled. Such a call is
shown as the moment at which its result was there.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from folkmoot.bus.ports import Bus
from folkmoot.cli.streams import read_all, store, work_streams
from folkmoot.contracts.codec import decode_data
from folkmoot.core.kernel import Machine, Position
from folkmoot.core.saga import SagaMachine, SagaSettings
from folkmoot.core.tracing import (
    Projection,
    Sampler,
    Span,
    journal_span_id,
    run_span_id,
    schema,
)
from folkmoot.core.tracing.sagas import SagaSpans, under_way
from folkmoot.core.tracing.workers import WorkerSpans
from folkmoot.core.worker import WorkerMachine, WorkerSettings
from folkmoot.core.worker.events import CallJournaled

ALL = Sampler(everything=True)

Event = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Told:
    """A saga's spans; those in `open` have not ended, and are shown up to now."""

    spans: Sequence[Span]
    open: frozenset[int]


async def retell(bus: Bus, saga_id: str, now: int) -> Told:
    """Return the spans of a saga as its history tells them.

    Raises:
        CommandError: there is no such saga.
    """
    async with store(bus) as asked:
        history = await read_all(asked, f"saga-{saga_id}")
        ended, unended = _of_saga(history, saga_id, now)
        trace_id = next((span.trace_id for span in [*ended, *unended]), 0)
        for stream in await work_streams(asked, saga_id):
            _, service, partition = stream.rsplit("/", 2)
            events = await read_all(asked, stream)
            more, running = _of_worker(events, service, int(partition), trace_id, now)
            ended, unended = [*ended, *more], [*unended, *running]
    return Told([*ended, *unended], frozenset(span.span_id for span in unended))


def _of_saga(
    history: Sequence[Event], saga_id: str, now: int
) -> tuple[Sequence[Span], Sequence[Span]]:
    machine = SagaMachine(SagaSettings(), 0)
    state = machine.initial()
    ended = _folded(machine, state, SagaSpans(ALL), history)
    return ended, under_way(state, saga_id, now)


def _of_worker(
    history: Sequence[Event], service: str, partition: int, trace_id: int, now: int
) -> tuple[Sequence[Span], Sequence[Span]]:
    machine = WorkerMachine(service, "", partition, WorkerSettings())
    state, projection = machine.initial(), WorkerSpans(ALL, service, partition)
    journaled: list[Span] = []

    def note(event: object, at: int) -> None:
        if isinstance(event, CallJournaled):
            journaled.append(_journaled(event, at, trace_id))

    ended = _folded(machine, state, projection, history, note)
    return [*ended, *journaled], projection.under_way(state, now)


def _folded(
    machine: Machine[Any],
    state: Any,
    projection: Projection[Any],
    history: Sequence[Event],
    note: Callable[[object, int], None] = lambda _event, _at: None,
) -> list[Span]:
    """Fold a history into `state`; the spans that ended with it."""
    spans: list[Span] = []
    for each in history:
        event = decode_data(machine.events[each["event"]["type"]], each["event"]["data"])
        position = Position(each["offset"], each["at"])
        spans += projection(state, event, position)
        machine.apply(state, event, position)
        note(event, position.at)
    return spans


def _journaled(event: CallJournaled, at: int, trace_id: int) -> Span:
    own = journal_span_id(event.call_id, event.run, event.key)
    parent = run_span_id(event.call_id, event.run)
    said = {schema.SAGA_ID: event.saga_id, schema.JOURNAL_KEY: event.key}
    name = f"call {event.key.partition('#')[0]}"
    return Span(name, trace_id, own, parent, at, at, attributes=said)
