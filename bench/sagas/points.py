"""What was measured: one point for each contender and load, gathered over all rounds."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field

from bench.figures import percentile
from bench.sagas.accounting import Account
from bench.sagas.loops import Load, Outcome

TAIL_SAMPLES_MIN = 1_000
"""Below which a p99.9 is the worst sample and says nothing."""

BESIDE = frozenset({"Kafka", "NATS", "client", "PostgreSQL"})
"""Processes that are not the contender itself but its broker, its database, or the load."""


@dataclass(slots=True)
class Point:
    """All rounds of one load on one contender."""

    contender: str
    load: Load
    seconds: float = 0.0
    ended: int = 0
    latencies_ms: list[float] = field(default_factory=list)
    rates: list[float] = field(default_factory=list)
    """Of each round, sagas per second."""
    processor_s: Counter[str] = field(default_factory=Counter)
    wire_bytes: int = 0
    disk_bytes: int = 0
    log_bytes: int = 0
    trouble: str = ""
    """What went wrong, if anything did; the rounds that went well still count."""

    def take(self, outcome: Outcome, used: Account) -> None:
        """Add a round."""
        self.seconds += outcome.window_s
        self.ended += sum(at <= outcome.window_s for at in outcome.ended_s)
        self.rates.append(outcome.per_second)
        self.latencies_ms += outcome.latencies_ms
        self.processor_s.update(used.processor_s)
        self.wire_bytes += used.wire_bytes
        self.disk_bytes += used.disk_bytes
        self.log_bytes += used.log_bytes

    @property
    def sagas(self) -> int:
        """How many were run, those included that ended after the window."""
        return len(self.latencies_ms)

    @property
    def per_second(self) -> float:
        """Sagas per second over all rounds."""
        return self.ended / self.seconds

    def at(self, share: float) -> float:
        """Return a percentile of the latencies, in milliseconds."""
        return percentile(self.latencies_ms, share)

    @property
    def tail_ms(self) -> float | None:
        """The p99.9, where there are enough samples for one."""
        return self.at(0.999) if self.sagas >= TAIL_SAMPLES_MIN else None

    def processor_ms(self, *names: str) -> float:
        """Processor time for each saga, in milliseconds, of these processes or of all."""
        used = (self.processor_s[name] for name in names or self.processor_s)
        return 1000 * sum(used) / self.sagas

    @property
    def own_processor_ms(self) -> float:
        """Processor time for each saga without broker, database and load."""
        return self.processor_ms(*(set(self.processor_s) - BESIDE))

    def each(self, total: float) -> float:
        """Return a total divided by the sagas."""
        return total / self.sagas


@dataclass(slots=True)
class Results:
    """All points in the order in which they were first measured, and what else was seen."""

    points: dict[tuple[str, Load], Point] = field(default_factory=dict)
    idle: dict[str, list[float]] = field(default_factory=dict)
    """Of each contender, the share of one processor that it takes while nothing is asked of it."""
    memory_mb: dict[str, dict[str, float]] = field(default_factory=dict)
    """Of each contender, by process, after the last turn's loads."""
    not_measured: dict[str, str] = field(default_factory=dict)
    """Contenders that could not be had, and why."""

    def point(self, contender: str, load: Load) -> Point:
        """Return the point of a load, which may be new."""
        return self.points.setdefault((contender, load), Point(contender, load))

    def find(self, contender: str, shape: str, in_flight: int) -> Point | None:
        """Return the point of a closed loop, if it was measured."""
        for point in self.measured():
            load = point.load
            if (point.contender, load.shape, load.in_flight) == (contender, shape, in_flight):
                return point
        return None

    def measured(self) -> Sequence[Point]:
        """Return the points that have samples."""
        return [point for point in self.points.values() if point.sagas]
