"""Any sequence of inputs, against a breaker that keeps every call and counts them anew each time.

Inputs come twice, late, for calls long ended or never made, and the clock stands still or runs
backwards.
"""

from __future__ import annotations

import copy
from collections.abc import Sequence

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    Bundle,
    RuleBasedStateMachine,
    initialize,
    invariant,
    multiple,
    rule,
)

from folkmoot.contracts.codec import decode_record, encode_record
from folkmoot.core.breaker import (
    BreakerHalfOpened,
    BreakerMachine,
    BreakerState,
    CallAdmitted,
    CallDequeued,
)
from folkmoot.core.kernel import Effect, Entry, Led, Local, Position, Send, Tick
from folkmoot.core.messages import (
    Call,
    CancelCall,
    Failure,
    Outcome,
    OutcomeStatus,
    RegisterAgent,
)
from tests.unit.core.breaker.reference import HOME, RULES, Reference

AGENTS = ("a", "b")
busy = st.sampled_from(["a", "a", "a", "b"])
ENDS: list[tuple[OutcomeStatus, Failure | None]] = [
    ("succeeded", None),
    ("succeeded", None),
    ("failed", Failure("ConnectionError", "")),
    ("failed", Failure("ConnectionError", "")),
    ("failed", Failure("RateLimited", "", retry_after_ms=300)),
    ("failed", Failure("RateLimited", "", retry_after_ms=9_000)),
    ("failed", Failure("timed-out", "", retryable=False)),
    ("failed", Failure("ValueError", "", retryable=False)),
    ("failed", Failure("cancelled", "")),
    ("refused", Failure("overloaded", "", retry_after_ms=60)),
]


PATTERNS = {"s": ENDS[0], "w": ENDS[0], "f": ENDS[2], "n": ENDS[7]}


class Breakers(RuleBasedStateMachine):
    """Two targets, driven as the kernel drives them; a standby reads the encoded log."""

    known = Bundle("known")

    def __init__(self) -> None:
        super().__init__()
        self.machine = BreakerMachine(RULES, partition=0)
        self.state, self.standby = BreakerState(), BreakerState()
        self.clock = self.at = 1_000
        self.offset = self.ids = 0
        self.reference: dict[str, Reference] = {}
        self.effects: list[Effect] = []
        self.entry(Led("replica", 0))

    # -- driving --------------------------------------------------------------------------------

    def entry(self, message: object) -> list[object]:
        self.at = max(self.at, self.clock)
        before = copy.deepcopy(self.state)
        events = list(self.machine.decide(self.state, message, self.at))
        assert self.state == before, "decide changed the state"
        self.effects = []
        if events:
            self.offset += 1
            for event in events:
                self.check_admission(event)
                self.effects += self.apply(self.state, event)
            for event in self.through_the_log(events):
                self.apply(self.standby, event)
        self.compare()
        return events

    def apply(self, state: BreakerState, event: object) -> Sequence[Effect]:
        return self.machine.apply(state, event, Position(self.offset, self.at))

    def through_the_log(self, events: list[object]) -> Sequence[object]:
        value, headers = encode_record(Entry(0, self.at, tuple(events)), "source", self.offset)
        record = decode_record(value, headers, self.machine.events)
        assert isinstance(record, Entry)
        return record.events

    def check_admission(self, event: object) -> None:
        """An open breaker admits nothing; a half-open one admits one call, in one entry."""
        if isinstance(event, CallAdmitted | CallDequeued):
            circuit = self.state.targets[event.target].circuit
            assert circuit.phase != "open"
            assert circuit.probe is None
            assert (circuit.phase == "half-open") == getattr(event, "probe", False)
        if isinstance(event, BreakerHalfOpened):
            circuit = self.state.targets[event.target].circuit
            assert (circuit.phase, self.at >= circuit.retry_at) == ("open", True)

    def compare(self) -> None:
        """What was sent is what the reference would have sent, in its order per target."""
        sends = [effect for effect in self.effects if isinstance(effect, Send)]
        said = [_said(e.message) for e in sends if isinstance(e.message, Outcome)]
        routed = [
            (e.message.call_id, e.partition)
            for e in sends
            if isinstance(e.message, Call | CancelCall)
        ]
        expected = list(self.reference.values())
        assert sorted(said, key=str) == sorted(
            ((i, k, ms) for r in expected for i, k, ms in r.said), key=str
        )
        for name, reference in self.reference.items():
            own = [r for r in routed if r[0].startswith(name)]
            assert own == reference.routed
            reference.said, reference.routed = [], []
            reference.known = len(reference.history)
        assert all(isinstance(effect, Send | Local) for effect in self.effects)

    # -- inputs ---------------------------------------------------------------------------------

    @initialize(partitions=st.integers(1, 3), concurrency=st.integers(1, 3))
    def registered(self, partitions: int, concurrency: int) -> None:
        for agent in AGENTS:
            self.reference[agent] = Reference(partitions, concurrency)
            self.entry(RegisterAgent(agent, "team", partitions, concurrency, ()))

    @rule(ms=st.sampled_from([0, 1, 10, 30, 100, 200, 500]))
    def time_passes(self, ms: int) -> None:
        self.clock += ms

    @rule(ms=st.integers(1, 300))
    def the_clock_is_set_back(self, ms: int) -> None:
        self.clock -= ms

    @rule()
    def time_passes_to_the_next_deadline(self) -> None:
        self.clock = max(self.clock, self.machine.due(self.state) or 0)

    @rule()
    def tick(self) -> None:
        now = max(self.at, self.clock)
        for reference in self.reference.values():
            reference.tick(now)
        self.entry(Tick())
        due = self.machine.due(self.state)
        assert due is None or due > self.at

    @rule(
        target=known,
        agent=busy,
        step=st.sampled_from(["s", "t", "u"]),
        patience_ms=st.sampled_from([0, 60, 300, 10_000, 10_000]),
        count=st.integers(1, 4),
    )
    def calls(self, agent: str, step: str, patience_ms: int, count: int) -> object:
        made = []
        for _ in range(count):
            self.ids += 1
            now = max(self.at, self.clock)
            call = Call(
                f"{agent}{self.ids}", "saga", step, "step", "do", agent, "team", 1, None,
                step, now + patience_ms, HOME,
            )  # fmt: skip
            self.reference[agent].call(call, now)
            self.entry(call)
            made.append(call)
        return multiple(*made)

    @rule(call=known)
    def the_same_call_again(self, call: Call) -> None:
        self.reference[call.target].call(call, max(self.at, self.clock))
        self.entry(call)

    @rule(call=known, end=st.sampled_from(ENDS), duration_ms=st.sampled_from([0, 0, 49, 50]))
    def outcome(
        self, call: Call, end: tuple[OutcomeStatus, Failure | None], duration_ms: int
    ) -> None:
        status, failure = end
        outcome = Outcome(
            call.call_id, "saga", call.step_id, "step", call.target, 1, status,
            failure=failure, duration_ms=duration_ms,
        )  # fmt: skip
        self.reference[call.target].outcome(outcome, max(self.at, self.clock))
        self.entry(outcome)

    @rule(agent=busy, which=st.integers(0, 8), end=st.sampled_from(ENDS))
    def one_in_flight_ends(
        self, agent: str, which: int, end: tuple[OutcomeStatus, Failure | None]
    ) -> None:
        reference = self.reference[agent]
        if flying := reference.with_fate("admitted"):
            self.outcome(reference.calls[flying[which % len(flying)]], end, 0)

    @rule(agent=busy, pattern=st.lists(st.sampled_from("sssffnww."), min_size=2, max_size=8))
    def calls_come_and_end(self, agent: str, pattern: list[str]) -> None:
        """A success, a slow one, a failure, an end that does not count, or a call that stays."""
        for number, letter in enumerate(pattern):
            (call,) = self.calls(agent, f"s{number}", 10_000, 1).values
            if letter != ".":
                self.outcome(call, PATTERNS[letter], 60 if letter == "w" else 0)

    @rule(agent=busy, end=st.sampled_from(ENDS), duration_ms=st.sampled_from([0, 0, 60]))
    def the_next_probe(
        self, agent: str, end: tuple[OutcomeStatus, Failure | None], duration_ms: int
    ) -> None:
        self.clock = max(self.clock, self.state.targets[agent].circuit.retry_at)
        (call,) = self.calls(agent, "p", 10_000, 1).values
        self.outcome(call, end, duration_ms)

    @rule(call=known)
    def cancel(self, call: Call) -> None:
        self.reference[call.target].cancel(call.call_id, max(self.at, self.clock))
        self.entry(CancelCall(call.call_id, "saga", call.target))

    @rule(
        agent=st.sampled_from(AGENTS), partitions=st.integers(1, 3), concurrency=st.integers(1, 3)
    )
    def registers_otherwise(self, agent: str, partitions: int, concurrency: int) -> None:
        reference = self.reference[agent]
        same = (reference.partitions, reference.concurrency) == (partitions, concurrency)
        reference.partitions, reference.concurrency = partitions, concurrency
        if not same:
            reference.drain(max(self.at, self.clock))
        self.entry(RegisterAgent(agent, "team", partitions, concurrency, ()))

    @rule()
    def another_replica_leads(self) -> None:
        self.machine = BreakerMachine(RULES, partition=0)
        assert self.entry(Led("other", self.offset)) == []

    @rule(call_id=st.sampled_from(["a999", "zz"]))
    def what_nobody_knows(self, call_id: str) -> None:
        outcome = Outcome(call_id, "saga", "s", "step", "a", 1, "succeeded")
        assert self.entry(outcome) == []
        assert self.entry(CancelCall(call_id, "saga", "a")) == []

    # -- what always holds ----------------------------------------------------------------------

    @invariant()
    def every_figure_is_what_the_history_amounts_to(self) -> None:
        for name, reference in self.reference.items():
            target = self.state.targets[name]
            circuit = target.circuit
            opened = reference.latest("open")
            assert circuit.phase == reference.phase
            assert circuit.generation == reference.generation()
            assert circuit.openings == reference.openings()
            assert circuit.retry_at == (opened.retry_at if opened else 0)
            assert circuit.consecutive == reference.in_a_row()
            assert circuit.window.counts(self.at) == reference.figures(self.at)
            assert list(target.queue) == reference.with_fate("queued")
            assert set(target.flights) == set(reference.with_fate("admitted"))
            assert target.loads == [reference.load(p) for p in range(len(target.loads))]

    @invariant()
    def half_open_means_one_probe_that_will_end(self) -> None:
        for target in self.state.targets.values():
            circuit = target.circuit
            own = [i for i, f in target.flights.items() if f.generation == circuit.generation]
            if circuit.phase == "half-open":
                assert own == [circuit.probe]
                assert self.state.deadlines.get(own[0]) is not None
            elif circuit.phase == "open":
                assert own == []
            if circuit.phase != "closed":
                assert not target.queue

    @invariant()
    def every_admitted_call_is_accounted_for(self) -> None:
        open_calls = 0
        for target in self.state.targets.values():
            totals = target.totals
            assert totals.admitted == totals.ended + totals.expired + len(target.flights)
            open_calls += len(target.flights) + len(target.queue)
        assert len(self.state.places) == len(self.state.deadlines) == open_calls

    @invariant()
    def a_standby_has_the_same_state(self) -> None:
        assert self.standby == self.state

    def teardown(self) -> None:
        """Left alone, every breaker comes to rest, and from there a success closes it."""
        while (due := self.machine.due(self.state)) is not None:
            self.clock = max(self.clock, due)
            self.tick()
            self.every_figure_is_what_the_history_amounts_to()
        for name, target in self.state.targets.items():
            assert target.circuit.phase != "half-open"
            assert not target.flights
            assert not target.queue
            self.clock = max(self.clock, target.circuit.retry_at)
            (made,) = self.calls(name, "last", 60, 1).values
            self.outcome(made, PATTERNS["s"], 0)
            assert target.circuit.phase == "closed"


def _said(outcome: Outcome) -> tuple[str, str, int | None]:
    assert (outcome.status, outcome.runs) == ("refused", 0)
    failure = outcome.failure
    assert failure is not None
    after_ms = failure.retry_after_ms
    if failure.kind == "overloaded":
        assert after_ms is not None
        assert RULES.overload_wait_ms <= after_ms <= 2 * RULES.overload_wait_ms
        after_ms = None
    return outcome.call_id, failure.kind, after_ms


TestBreakers = Breakers.TestCase
TestBreakers.settings = settings(max_examples=100, stateful_step_count=40, deadline=None)
