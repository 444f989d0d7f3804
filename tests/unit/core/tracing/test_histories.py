"""What is true of the traces of any sagas, shown on logs of every event that there is."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

import pytest

from folkmoot.contracts.codec import decode_record
from folkmoot.core.kernel import Entry, Leadership, Local, Machine, Position
from folkmoot.core.saga import SagaMachine
from folkmoot.core.tracing import (
    NO_SPAN,
    Projection,
    Sampler,
    Span,
    SpansEnded,
    Traced,
    schema,
    undeclared,
)
from folkmoot.core.tracing.breakers import BreakerSpans
from folkmoot.core.tracing.sagas import SagaSpans
from folkmoot.core.tracing.workers import WorkerSpans
from folkmoot.testing.histories import PLAYERS
from tests.golden.golden import PLACE, Golden

SAGAS = sorted(PLACE.glob("saga-orchestrator-*.jsonl.gz"))
ALL, NONE = Sampler(1.0), Sampler(0.0)

Entries = Sequence[tuple[Sequence[object], Position]]


@cache
def entries(path: Path, name: str) -> Entries:
    """Return the events of a golden history that count, with their positions."""
    machine = PLAYERS[name]().machine()
    leadership, found = Leadership(), []
    for offset, written in enumerate(Golden(path).read()):
        record = decode_record(written.value, written.headers, machine.events)
        if leadership.observe(offset, record).counts and isinstance(record, Entry):
            found.append((record.events, Position(offset, record.at)))
    return found


def told(machine: Machine[Any], projection: Projection[Any], log: Entries) -> list[Span]:
    """Return the spans that a log tells, in order."""
    traced = Traced(machine, projection)
    state = traced.initial()
    spans: list[Span] = []
    for events, position in log:
        for event in events:
            if type(event) not in machine.events.values():
                continue
            for effect in traced.apply(state, event, position):
                if isinstance(effect, Local) and isinstance(effect.request, SpansEnded):
                    assert effect.request.offset == position.offset
                    spans += effect.request.spans
    return spans


def of_sagas(path: Path, sampler: Sampler) -> list[Span]:
    machine = PLAYERS["saga-orchestrator"]().machine()
    assert isinstance(machine, SagaMachine)
    return told(machine, SagaSpans(sampler), entries(path, "saga-orchestrator"))


def by_saga(spans: Sequence[Span]) -> dict[str, list[Span]]:
    found: defaultdict[str, list[Span]] = defaultdict(list)
    for span in spans:
        found[str(span.attributes[schema.SAGA_ID])].append(span)
    return found


@pytest.mark.parametrize("path", SAGAS, ids=lambda path: path.name)
def test_every_saga_that_ended_is_one_whole_trace(path: Path) -> None:
    ended = 0
    for saga_id, spans in by_saga(of_sagas(path, ALL)).items():
        ids = {span.span_id for span in spans}
        assert len(ids) == len(spans), f"{saga_id} has a span twice"
        assert len({span.trace_id for span in spans}) == 1
        roots = [span for span in spans if span.name.startswith("saga ")]
        if not roots:
            continue
        [root] = roots
        ended += 1
        assert all(span.parent == root.span_id for span in spans if span is not root)
        assert all(root.began_at <= s.began_at <= s.ended_at <= root.ended_at for s in spans)
        for span in spans:
            links = {str(link.attributes[schema.LINK]): link for link in span.links}
            assert links.keys() <= {"compensates", "child", "parent"}
            assert "compensates" not in links or links["compensates"].span_id in ids
    assert ended > 10


@pytest.mark.parametrize("path", SAGAS, ids=lambda path: path.name)
def test_of_sagas_that_are_not_sampled_those_that_fail_are_told_alike(path: Path) -> None:
    sampled, unsampled = by_saga(of_sagas(path, ALL)), by_saga(of_sagas(path, NONE))
    failed = {
        saga_id
        for saga_id, spans in sampled.items()
        if any(s.name.startswith("saga ") and s.error is not None for s in spans)
    }
    ended_well = {
        saga_id
        for saga_id, spans in sampled.items()
        if any(s.name.startswith("saga ") and s.error is None for s in spans)
    }
    assert failed <= unsampled.keys()
    assert failed
    assert not ended_well & unsampled.keys()
    for saga_id in failed:
        whole = {span.span_id: span for span in sampled[saga_id]}
        assert [s for s in unsampled[saga_id] if plainly(s) != plainly(whole[s.span_id])] == []
        attempts = {s.span_id for s in whole.values() if s.kind == "producer"}
        assert attempts == {s.span_id for s in unsampled[saga_id] if s.kind == "producer"}


def plainly(span: Span) -> Span:
    """Return a span without its events: of a refusal only the reason is remembered."""
    return replace(span, moments=())


@pytest.mark.parametrize("path", SAGAS, ids=lambda path: path.name)
def test_sagas_tell_only_what_is_declared(path: Path) -> None:
    spans = of_sagas(path, ALL)
    assert [problem for span in spans for problem in undeclared(span)] == []
    assert {span.name.partition(" ")[0] for span in spans} >= {"saga", "plan", "step", "compensate"}


@pytest.mark.parametrize("name", ["worker", "breaker-proxy"])
def test_workers_and_breakers_tell_only_what_is_declared(name: str) -> None:
    machine = PLAYERS[name]().machine()
    projection: Projection[Any] = (
        WorkerSpans(ALL, "agent.x", 0) if name == "worker" else BreakerSpans(ALL)
    )
    spans: list[Span] = []
    for path in PLACE.glob(f"{name}-*.jsonl.gz"):
        spans += told(machine, projection, entries(path, name))
    assert spans
    assert [problem for span in spans for problem in undeclared(span)] == []
    assert all(span.parent != NO_SPAN for span in spans)


def test_a_traced_machine_makes_the_same_state() -> None:
    machine = PLAYERS["saga-orchestrator"]().machine()
    plain, traced = machine.initial(), machine.initial()
    wrapped = Traced(machine, SagaSpans(ALL))
    for events, position in entries(SAGAS[0], "saga-orchestrator"):
        for event in events:
            if type(event) in machine.events.values():
                machine.apply(plain, event, position)
                wrapped.apply(traced, event, position)
    assert plain == traced


def test_a_saga_and_the_step_that_runs_it_are_linked_both_ways() -> None:
    [path] = [path for path in SAGAS if "children" in path.name]
    spans = of_sagas(path, ALL)
    places = {(span.trace_id, span.span_id) for span in spans}

    def linked(to: str) -> set[tuple[int, int]]:
        links = [link for span in spans for link in span.links]
        return {(k.trace_id, k.span_id) for k in links if k.attributes[schema.LINK] == to}

    assert linked("child") & places
    assert linked("parent") & places
