"""Any sequence of inputs, against a breaker that keeps every call and counts them anew each time.

The reference has no counters, no window, no queue, no load and no heap: only lists of what
happened, from which each figure is computed when it is wanted. Inputs come twice, late, for calls
long ended or never made, and the clock stands still or runs backwards.
"""

from __future__ import annotations

import copy
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

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
    BreakerSettings,
    BreakerState,
    CallAdmitted,
    CallDequeued,
)
from folkmoot.core.kernel import Effect, Entry, Led, Local, Position, Send, Tick
from folkmoot.core.messages import (
    Address,
    Call,
    CancelCall,
    Failure,
    Outcome,
    OutcomeStatus,
    RegisterAgent,
)

HOME = Address("folkmoot.saga-orchestrator.inbox", 0)
RULES = BreakerSettings(
    consecutive_failures=3,
    failure_rate_percent=50,
    calls_min=4,
    window_bucket_ms=100,
    window_buckets=4,
    slow_call_ms=50,
    slow_rate_percent=75,
    open_base_ms=200,
    open_cap_ms=700,
    open_jitter_percent=0,
    backoff_decay_ms=500,
    grace_ms=30,
    probe_wait_ms=40,
    worker_queue_percent=50,
    queue_max=2,
)


@dataclass
class Happened:
    """One line of a target's history."""

    what: str
    at: int
    call_id: str = ""
    partition: int = -1
    verdict: str = ""
    slow: bool = False
    retry_at: int = 0
    openings: int = 0


@dataclass
class Reference:
    """One target. `said` collects the answers, `routed` the calls sent to workers.

    `known` is how much of the history there was before the input that is being decided.
    """

    partitions: int
    concurrency: int
    history: list[Happened] = field(default_factory=list)
    calls: dict[str, Call] = field(default_factory=dict)
    known: int = 0
    said: list[tuple[str, str, int | None]] = field(default_factory=list)
    routed: list[tuple[str, int]] = field(default_factory=list)

    # -- what the history amounts to ------------------------------------------------------------

    def latest(self, *what: str, call_id: str | None = None) -> Happened | None:
        for line in reversed(self.history):
            if line.what in what and call_id in (None, line.call_id):
                return line
        return None

    @property
    def phase(self) -> str:
        line = self.latest("open", "half-open", "closed")
        return line.what if line else "closed"

    def generation(self, upto: int | None = None) -> int:
        return sum(line.what in ("open", "half-open", "closed") for line in self.history[:upto])

    def last_fate(self, call_id: str) -> Happened | None:
        return self.latest("admitted", "ended", "queued", "refused", call_id=call_id)

    def fate(self, call_id: str) -> str:
        line = self.last_fate(call_id)
        return line.what if line else "none"

    def with_fate(self, fate: str) -> list[str]:
        """Return calls in the order in which they met their fate."""
        lines = [line for line in self.history if line.what == fate]
        return [line.call_id for line in lines if self.last_fate(line.call_id) is line]

    def partition_of(self, call_id: str) -> int:
        line = self.latest("admitted", call_id=call_id)
        assert line is not None
        return line.partition

    def load(self, partition: int) -> int:
        flying = self.with_fate("admitted")
        return sum(self.partition_of(call_id) == partition for call_id in flying)

    def is_late(self, call_id: str) -> bool:
        line = self.latest("admitted", call_id=call_id)
        assert line is not None
        index = next(n for n, other in enumerate(self.history) if other is line)
        return self.generation(index) != self.generation()

    def is_cancelled(self, call_id: str) -> bool:
        line = self.latest("admitted", "cancelled", call_id=call_id)
        return line is not None and line.what == "cancelled"

    def counted(self) -> list[Happened]:
        """Return the ends that count since the breaker last closed."""
        since = 0
        for index, line in enumerate(self.history):
            if line.what == "closed":
                since = index
        ends = self.history[since:]
        return [line for line in ends if line.verdict in ("success", "failure")]

    def figures(self, now: int) -> tuple[int, int, int]:
        oldest = now // RULES.window_bucket_ms - RULES.window_buckets + 1
        recent = [e for e in self.counted() if e.at // RULES.window_bucket_ms >= oldest]
        failures = sum(e.verdict == "failure" for e in recent)
        return len(recent), failures, sum(e.slow for e in recent)

    def in_a_row(self) -> int:
        ends = [end.verdict for end in self.counted()]
        return len(ends) - max((n for n, end in enumerate(ends, 1) if end == "success"), default=0)

    def openings(self) -> int:
        line = self.latest("open")
        return line.openings if line else 0

    # -- what inputs do -------------------------------------------------------------------------

    def call(self, call: Call, now: int) -> None:
        if self.fate(call.call_id) in ("admitted", "queued"):
            return
        self.calls[call.call_id] = call
        opened = self.latest("open")
        if now >= call.deadline_at:
            self.refuse(call, "timed-out", now)
        elif self.phase == "half-open":
            self.refuse(call, "breaker-open", now, RULES.probe_wait_ms)
        elif self.phase == "open" and opened is not None and now < opened.retry_at:
            self.refuse(call, "breaker-open", now, opened.retry_at - now)
        elif self.phase == "open":
            self.probe(call, now)
        elif self.with_fate("queued") or not self.admit(call, now):
            self.queue(call, now)

    def probe(self, call: Call, now: int) -> None:
        if self.choice(call) is None:
            self.refuse(call, "overloaded", now)
            return
        self.history.append(Happened("half-open", now))
        self.admit(call, now)

    def queue(self, call: Call, now: int) -> None:
        if len(self.with_fate("queued")) < RULES.queue_max:
            self.history.append(Happened("queued", now, call.call_id))
        else:
            self.refuse(call, "overloaded", now)

    def admit(self, call: Call, now: int) -> bool:
        partition = self.choice(call)
        if partition is None:
            return False
        self.history.append(Happened("admitted", now, call.call_id, partition))
        self.routed.append((call.call_id, partition))
        return True

    def choice(self, call: Call) -> int | None:
        last = self.latest("admitted")
        turn = last.partition + 1 if last else 0
        limit = self.concurrency * 3 // 2
        options = [(turn + n) % self.partitions for n in range(self.partitions)]
        options = [p for p in options if self.load(p) < limit]
        options = [p for p in options if p != self.last_tried(call.idempotency_key)] or options
        return min(options, key=self.load) if options else None

    def last_tried(self, step: str) -> int | None:
        for line in reversed(self.history[: self.known]):
            known = self.calls.get(line.call_id)
            if known is None or known.idempotency_key != step:
                continue
            if line.what == "ended" and line.verdict == "success":
                return None
            if line.what == "admitted":
                return line.partition
        return None

    def refuse(self, call: Call, kind: str, now: int, retry_after_ms: int | None = None) -> None:
        self.history.append(Happened("refused", now, call.call_id))
        self.said.append((call.call_id, kind, retry_after_ms))

    def cancel(self, call_id: str, now: int) -> None:
        if self.fate(call_id) == "queued":
            self.refuse(self.calls[call_id], "cancelled", now)
        elif self.fate(call_id) == "admitted" and not self.is_cancelled(call_id):
            self.history.append(Happened("cancelled", now, call_id))
            self.routed.append((call_id, self.partition_of(call_id)))

    def outcome(self, outcome: Outcome, now: int) -> None:
        if self.fate(outcome.call_id) == "admitted":
            slow = outcome.duration_ms >= 50
            hint_ms = (outcome.failure and outcome.failure.retry_after_ms) or 0
            self.end([(outcome.call_id, self.verdict(outcome), slow)], now, hint_ms)

    def verdict(self, outcome: Outcome) -> str:
        if self.is_late(outcome.call_id):
            return "late"
        if outcome.status == "succeeded":
            return "success"
        failure = outcome.failure
        assert failure is not None
        if outcome.status == "refused" or self.is_cancelled(outcome.call_id):
            return "neutral"
        if failure.kind == "timed-out":
            return "failure"
        return "failure" if failure.retryable and failure.kind != "cancelled" else "neutral"

    def tick(self, now: int) -> None:
        flying = self.with_fate("admitted")
        waiting = self.with_fate("queued")
        late = [c for c in flying if now >= self.calls[c].deadline_at + RULES.grace_ms]
        late.sort(key=lambda c: (self.calls[c].deadline_at + RULES.grace_ms, c))
        overdue = [c for c in waiting if now >= self.calls[c].deadline_at]
        overdue.sort(key=lambda c: (self.calls[c].deadline_at, c))
        if late or overdue:
            self.end([(c, self.verdict_of_silence(c), False) for c in late], now, 0, overdue)

    def verdict_of_silence(self, call_id: str) -> str:
        if self.is_late(call_id):
            return "late"
        return "neutral" if self.is_cancelled(call_id) else "failure"

    def end(
        self,
        ends: Sequence[tuple[str, str, bool]],
        now: int,
        hint_ms: int,
        overdue: Iterable[str] = (),
    ) -> None:
        is_probe = self.phase == "half-open"
        was_closed = self.phase == "closed"
        for call_id, verdict, slow in ends:
            counted_slow = slow and verdict in ("success", "failure")
            self.history.append(Happened("ended", now, call_id, verdict=verdict, slow=counted_slow))
        current = [(verdict, slow) for _, verdict, slow in ends if verdict != "late"]
        if is_probe and current:
            ((verdict, slow),) = current
            self.judge_probe(verdict, slow, now, hint_ms)
        elif was_closed and any(v == "failure" or (s and v == "success") for v, s in current):
            self.judge(now, hint_ms)
        if self.phase == "open" and self.with_fate("queued"):
            self.dismiss(now)
            return
        for call_id in overdue:
            self.refuse(self.calls[call_id], "timed-out", now)
        self.drain(now)

    def judge_probe(self, verdict: str, slow: bool, now: int, hint_ms: int) -> None:
        if verdict == "success" and not slow:
            self.history.append(Happened("closed", now))
        elif verdict == "neutral":
            wait_ms = min(hint_ms, RULES.open_cap_ms)
            self.open(now, wait_ms, self.openings())
        else:
            self.open_for_longer(now, self.openings() + 1, hint_ms)

    def judge(self, now: int, hint_ms: int) -> None:
        calls, failures, slow = self.figures(now)
        enough = calls >= RULES.calls_min
        if (
            self.in_a_row() >= RULES.consecutive_failures
            or (enough and failures / calls >= 0.5)
            or (enough and slow / calls >= 0.75)
        ):
            closed = self.latest("closed")
            well_ms = now - closed.at if closed else 10**9
            remembered = max(0, self.openings() - well_ms // RULES.backoff_decay_ms)
            self.open_for_longer(now, remembered + 1, hint_ms)

    def open_for_longer(self, now: int, openings: int, hint_ms: int) -> None:
        doubled = RULES.open_base_ms * 2 ** (openings - 1)
        self.open(now, min(RULES.open_cap_ms, max(doubled, hint_ms)), openings)

    def open(self, now: int, wait_ms: int, openings: int) -> None:
        self.history.append(Happened("open", now, retry_at=now + wait_ms, openings=openings))

    def dismiss(self, now: int) -> None:
        opened = self.latest("open")
        assert opened is not None
        for call_id in self.with_fate("queued"):
            call = self.calls[call_id]
            if now >= call.deadline_at:
                self.refuse(call, "timed-out", now)
            else:
                self.refuse(call, "breaker-open", now, opened.retry_at - now)

    def drain(self, now: int) -> None:
        for call_id in self.with_fate("queued"):
            call = self.calls[call_id]
            if now < call.deadline_at and not self.admit(call, now):
                return


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
