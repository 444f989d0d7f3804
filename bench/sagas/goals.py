"""What is wanted of Folkmoot, and whether this run shows it."""

from __future__ import annotations

from collections.abc import Iterator

from bench.rows import Row
from bench.sagas.points import Point, Results

OURS, BARE, RESTATE = "Folkmoot", "bare loop", "Restate"
EMBEDDED, DBOS = "Folkmoot embedded", "DBOS on SQLite"
TIMES = 10.0
AT_512_PER_S = 5_000.0
PROCESSOR_MS = 2.0
OF_BARE = 0.5
STEP_PROCESSOR_MS = 1.0
LINEAR_WITHIN = 1.1
OPEN_P99_MS = 50.0
OPEN_SHARE = 0.7


def least(name: str, value: float, unit: str, goal: float, peer: str = "", n: int = 1) -> Row:
    """Return a row whose value should be at least so much."""
    return Row(name, value, unit, f"at least {goal:,.3g} {unit}", value >= goal, peer, n)


def most(name: str, value: float, unit: str, goal: float, peer: str = "", n: int = 1) -> Row:
    """Return a row whose value should be at most so much."""
    return Row(name, value, unit, f"at most {goal:,.3g} {unit}", value <= goal, peer, n)


def goals(results: Results) -> list[Row]:
    """Return a row for each goal of which this run measured both sides."""
    return [*_beside_restate(results), *_alone(results), *_beside_others(results)]


def _beside_restate(results: Results) -> Iterator[Row]:
    for in_flight in (1, 64):
        ours = results.find(OURS, "three", in_flight)
        theirs = results.find(RESTATE, "three", in_flight)
        if ours and theirs:
            name, peer = f"p50 at {in_flight} in flight", _peer(theirs)
            yield most(name, ours.at(0.5), "ms", theirs.at(0.5), peer, ours.sagas)
            if in_flight == 64:
                goal = TIMES * theirs.per_second
                speed = ours.per_second
                yield least("sagas at 64 in flight", speed, "sagas/s", goal, peer, ours.sagas)


def _peer(point: Point) -> str:
    return f"{point.contender}: {point.per_second:,.0f}/s, p50 {point.at(0.5):,.3g} ms"


def _alone(results: Results) -> Iterator[Row]:
    if busy := results.find(OURS, "three", 512):
        speed = busy.per_second
        yield least("sagas at 512 in flight", speed, "sagas/s", AT_512_PER_S, n=busy.sagas)
    if point := results.find(OURS, "three", 64):
        name = "processor at 64 in flight, client included, brokers not"
        yield most(name, _unbrokered_ms(point), "ms/saga", PROCESSOR_MS, n=point.sagas)
    for point in results.measured():
        if point.contender == OURS and point.load.per_second:
            name = f"p99 in an open loop of {point.load.per_second:,.0f}/s"
            yield most(name, point.at(0.99), "ms", OPEN_P99_MS, n=point.sagas)
    yield from _fan_out(results)


def _unbrokered_ms(point: Point) -> float:
    return point.processor_ms(*(set(point.processor_s) - {"Kafka", "NATS"}))


def _fan_out(results: Results) -> Iterator[Row]:
    wide = [
        point
        for point in results.measured()
        if point.contender == OURS and point.load.shape == "wide"
    ]
    if not wide:
        return
    fewest, largest = min(wide, key=_width), max(wide, key=_width)
    name = f"processor for each step of a fan-out of {_width(largest):,}, brokers not included"
    step_ms = _unbrokered_ms(largest) / _width(largest)
    yield most(name, step_ms, "ms/step", STEP_PROCESSOR_MS, n=largest.sagas)
    if fewest is not largest:
        name = f"time for each step of {_width(largest):,}, beside one of {_width(fewest):,}"
        ratio = (largest.at(0.5) / _width(largest)) / (fewest.at(0.5) / _width(fewest))
        yield most(name, ratio, "times", LINEAR_WITHIN, n=largest.sagas)


def _width(point: Point) -> int:
    return point.load.width


def _beside_others(results: Results) -> Iterator[Row]:
    for in_flight in (64, 512):
        ours = results.find(OURS, "three", in_flight)
        bare = results.find(BARE, "three", in_flight)
        if ours and bare:
            name, share = f"share of the bare loop, {in_flight} in flight", share_of(ours, bare)
            yield least(name, share, "times", OF_BARE, _peer(bare), ours.sagas)
    ours, theirs = results.find(EMBEDDED, "three", 64), results.find(DBOS, "three", 64)
    if ours and theirs:
        name, goal = "embedded, 64 in flight", TIMES * theirs.per_second
        yield least(name, ours.per_second, "sagas/s", goal, _peer(theirs), ours.sagas)


def share_of(ours: Point, bare: Point) -> float:
    """Return how much of the bare loop's throughput we reach."""
    return ours.per_second / bare.per_second
