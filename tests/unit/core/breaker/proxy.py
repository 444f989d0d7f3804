"""A breaker shard without its log, for tests to talk to."""

from __future__ import annotations

from dataclasses import dataclass, field, replace

from folkmoot.core.breaker import (
    BreakerMachine,
    BreakerSettings,
    CallAdmitted,
)
from folkmoot.core.breaker.state import Circuit, Target
from folkmoot.core.kernel import Effect, Led, Position, Send
from folkmoot.core.messages import (
    Address,
    Call,
    CallKind,
    Failure,
    Outcome,
    OutcomeStatus,
    RegisterAgent,
)

START = 1_000_000
DEADLINE = START + 60_000
GRACE_MS = BreakerSettings().grace_ms
HOME = Address("folkmoot.saga-orchestrator.inbox", 1)
OWN = Address("folkmoot.breaker-proxy.inbox", 3)
STEADY = BreakerSettings(open_jitter_percent=0)
"""Without jitter, so that open times are round."""


def call(
    call_id: str,
    *,
    step: str | None = None,
    target: str = "writer",
    kind: CallKind = "step",
    deadline_at: int = DEADLINE,
) -> Call:
    step_id = step or call_id
    return Call(
        call_id, "saga", step_id, kind, "write", target, "news", 1, {"n": 1}, step_id,
        deadline_at, HOME,
    )  # fmt: skip


def outcome(
    call_id: str,
    status: OutcomeStatus = "succeeded",
    failure: Failure | None = None,
    duration_ms: int = 0,
) -> Outcome:
    return Outcome(
        call_id, "saga", call_id, "step", "writer", 1, status, failure=failure,
        duration_ms=duration_ms,
    )  # fmt: skip


SICK = Failure("ConnectionError", "no route")


@dataclass
class Proxy:
    """A shard without its log: decides, applies, and keeps what came of it."""

    settings: BreakerSettings = STEADY
    partitions: int = 2
    concurrency: int = 10
    now: int = START
    offset: int = 0
    effects: list[Effect] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.machine = BreakerMachine(self.settings, partition=3)
        self.state = self.machine.initial()
        self.hear(Led("replica", 0))
        self.hear(RegisterAgent("writer", "news", self.partitions, self.concurrency, ("write",)))

    def hear(self, message: object, after_ms: int = 0) -> list[object]:
        """Decide one input as one entry and return its events; `effects` are those of it alone."""
        self.now += after_ms
        events = list(self.machine.decide(self.state, message, self.now))
        self.effects = []
        self.offset += bool(events)
        for event in events:
            self.effects += self.machine.apply(self.state, event, Position(self.offset, self.now))
        return events

    def admit(self, *call_ids: str) -> list[int]:
        """Let calls come and return the partitions that they go to."""
        return [self._partition(self.hear(call(call_id))) for call_id in call_ids]

    def _partition(self, events: list[object]) -> int:
        admitted = events[-1]
        assert isinstance(admitted, CallAdmitted), events
        return admitted.partition

    def fail(self, *call_ids: str, failure: Failure = SICK) -> list[object]:
        """Let calls fail and return the events of the last."""
        events: list[object] = []
        for call_id in call_ids:
            events = self.hear(outcome(call_id, "failed", failure))
        return events

    def trip(self) -> None:
        """Open the breaker by five failures in a row."""
        ids = [f"trip-{self.offset}-{n}" for n in range(5)]
        self.admit(*ids)
        self.fail(*ids)
        assert self.phase == "open"

    def probe(self, call_id: str, deadline_at: int = DEADLINE) -> None:
        """Wait until the breaker probes, and let this call be the probe."""
        self.now = self.circuit.retry_at
        self._partition(self.hear(call(call_id, deadline_at=deadline_at)))
        assert self.phase == "half-open"

    def refusal(self) -> Failure:
        """Return why the only answer of the last entry refuses its call."""
        (answer,) = self.answers()
        assert answer.status == "refused"
        assert answer.failure is not None
        return answer.failure

    def answers(self) -> list[Outcome]:
        """Return the outcomes that the last entry sent home."""
        sends = [e for e in self.effects if isinstance(e, Send) and e.topic == HOME.topic]
        assert {send.partition for send in sends} <= {HOME.partition}
        return [send.message for send in sends if isinstance(send.message, Outcome)]

    @property
    def target(self) -> Target:
        return self.state.targets["writer"]

    @property
    def circuit(self) -> Circuit:
        return self.target.circuit

    @property
    def phase(self) -> str:
        return str(self.circuit.phase)


def full(settings: BreakerSettings = STEADY, queue_max: int = 2) -> Proxy:
    """Return a proxy with two partitions of three calls each, all taken: a to f."""
    settings = replace(settings, worker_queue_percent=50, queue_max=queue_max)
    proxy = Proxy(settings, concurrency=2)
    proxy.admit(*"abcdef")
    assert proxy.target.loads == [3, 3]
    return proxy
