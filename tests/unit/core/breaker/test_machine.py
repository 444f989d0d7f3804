"""What a breaker shard does with each message, one behaviour at a time."""

from __future__ import annotations

from dataclasses import dataclass, field, replace

import pytest

from folkmoot.core.breaker import (
    BreakerChanged,
    BreakerMachine,
    BreakerOpened,
    BreakerSettings,
    CallAdmitted,
    CallDequeued,
    CallEnded,
    CallExpired,
    CallQueued,
    WindowShaped,
    describe,
)
from folkmoot.core.breaker.state import ROUTES_REMEMBERED_MAX, Circuit, Target
from folkmoot.core.kernel import Effect, Led, Local, Position, Refused, Send, Tick
from folkmoot.core.messages import (
    Address,
    Announce,
    Call,
    CallKind,
    CancelCall,
    Failure,
    Leave,
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


# -- admission --------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["step", "compensate"])
def test_a_call_goes_to_a_worker_which_is_to_send_a_copy_of_the_outcome(kind: CallKind) -> None:
    proxy = Proxy()
    proxy.hear(call("c1", kind=kind))
    assert proxy.effects == [
        Send(
            "folkmoot.agent.writer.inbox",
            replace(call("c1", kind=kind), observed_by=OWN),
            partition=0,
        )
    ]


def test_calls_go_to_the_least_loaded_partition_and_take_turns() -> None:
    proxy = Proxy(partitions=3)
    assert proxy.admit("a", "b", "c", "d") == [0, 1, 2, 0]
    proxy.hear(outcome("c"))
    assert proxy.admit("e", "f") == [2, 1]


def test_another_attempt_avoids_where_the_last_one_went() -> None:
    proxy = Proxy(partitions=3)
    proxy.hear(call("a/1", step="a"))
    proxy.admit("b", "c")
    proxy.fail("a/1")
    assert proxy.target.loads == [0, 1, 1]
    (event,) = proxy.hear(call("a/2", step="a"))
    assert isinstance(event, CallAdmitted)
    assert event.partition == 1


def test_another_attempt_goes_there_again_if_no_other_has_room() -> None:
    proxy = Proxy(partitions=2, concurrency=1, settings=replace(STEADY, worker_queue_percent=0))
    proxy.hear(call("a/1", step="a"))
    proxy.admit("b")
    proxy.fail("a/1")
    (event,) = proxy.hear(call("a/2", step="a"))
    assert isinstance(event, CallAdmitted)
    assert event.partition == 0


def test_what_succeeded_is_remembered_nowhere() -> None:
    proxy = Proxy()
    proxy.admit("a")
    proxy.hear(outcome("a"))
    assert not proxy.target.routes
    assert not proxy.state.places
    assert proxy.machine.due(proxy.state) is None


def test_only_so_many_steps_are_remembered_and_the_longest_untried_is_forgotten() -> None:
    target = Proxy().target
    for n in range(ROUTES_REMEMBERED_MAX):
        target.remember_route(f"s{n}", 0)
    target.remember_route("s0", 1)
    target.remember_route("another", 1)
    assert len(target.routes) == ROUTES_REMEMBERED_MAX
    assert "s1" not in target.routes
    assert target.routes["s0"] == 1


def test_the_same_call_again_is_not_admitted_again() -> None:
    proxy = Proxy()
    proxy.admit("a")
    assert proxy.hear(call("a")) == []


def test_a_call_to_an_unknown_agent_is_refused_for_good() -> None:
    proxy = Proxy()
    proxy.hear(call("a", target="wirter"))
    failure = proxy.refusal()
    assert (failure.kind, failure.retryable) == ("unknown-agent", False)
    assert "'wirter'" in failure.detail
    assert "known here: writer" in failure.detail


def test_a_call_whose_deadline_has_passed_is_refused() -> None:
    proxy = Proxy()
    proxy.hear(call("a", deadline_at=START))
    assert (proxy.refusal().kind, proxy.refusal().retryable) == ("timed-out", True)
    proxy.hear(call("b", deadline_at=START + 1))
    assert "b" in proxy.target.flights


# -- the queue --------------------------------------------------------------------------------


def full(settings: BreakerSettings = STEADY, queue_max: int = 2) -> Proxy:
    """Return a proxy with two partitions of three calls each, all taken: a to f."""
    settings = replace(settings, worker_queue_percent=50, queue_max=queue_max)
    proxy = Proxy(settings, concurrency=2)
    proxy.admit(*"abcdef")
    assert proxy.target.loads == [3, 3]
    return proxy


def test_beyond_capacity_calls_wait_and_beyond_that_they_are_refused() -> None:
    proxy = full()
    assert [type(proxy.hear(call(name))[0]) for name in "gh"] == [CallQueued, CallQueued]
    assert proxy.effects == []
    proxy.hear(call("i"))
    failure = proxy.refusal()
    assert (failure.kind, failure.retryable) == ("overloaded", True)
    assert failure.retry_after_ms is not None
    assert 1_000 <= failure.retry_after_ms <= 2_000


def test_without_a_queue_calls_are_refused_at_once() -> None:
    proxy = full(queue_max=0)
    proxy.hear(call("g"))
    assert proxy.refusal().kind == "overloaded"


def test_a_freed_slot_goes_to_who_waited_longest() -> None:
    proxy = full()
    proxy.hear(call("g"))
    proxy.hear(call("h"))
    assert proxy.hear(outcome("b"))[1:] == [CallDequeued("writer", "g", 1, DEADLINE + GRACE_MS)]
    assert proxy.effects == [
        Send("folkmoot.agent.writer.inbox", replace(call("g"), observed_by=OWN), partition=1)
    ]
    assert list(proxy.target.queue) == ["h"]


def test_nobody_overtakes_the_queue_and_nobody_is_forgotten_in_it() -> None:
    proxy = full()
    proxy.hear(call("g", deadline_at=START + 10))
    proxy.hear(outcome("a"), after_ms=10)
    assert isinstance(proxy.hear(call("h"))[0], CallQueued)
    events = proxy.hear(Tick())
    assert proxy.refusal().kind == "timed-out"
    assert events[1:] == [CallDequeued("writer", "h", 0, DEADLINE + GRACE_MS)]


def test_who_waits_too_long_is_refused_at_its_deadline() -> None:
    proxy = full()
    proxy.hear(call("g", deadline_at=DEADLINE))
    proxy.hear(call("h", deadline_at=START + 10))
    assert proxy.machine.due(proxy.state) == START + 10
    assert proxy.hear(Tick(), after_ms=9) == []
    proxy.hear(Tick(), after_ms=1)
    assert proxy.refusal().kind == "timed-out"
    assert list(proxy.target.queue) == ["g"]


def test_a_slot_is_not_wasted_on_who_is_overdue() -> None:
    proxy = full()
    proxy.hear(call("g", deadline_at=START + 10))
    proxy.hear(call("h"))
    events = proxy.hear(outcome("a"), after_ms=10)
    assert [e.call_id for e in events if isinstance(e, CallDequeued)] == ["h"]
    proxy.hear(Tick())
    assert proxy.refusal().kind == "timed-out"


def test_more_workers_take_on_those_who_wait() -> None:
    proxy = full()
    proxy.hear(call("g"))
    proxy.hear(call("h"))
    events = proxy.hear(RegisterAgent("writer", "news", 3, 2, ("write",)))
    assert [(e.call_id, e.partition) for e in events if isinstance(e, CallDequeued)] == [
        ("g", 2),
        ("h", 2),
    ]


def test_those_who_wait_take_turns_too() -> None:
    proxy = Proxy(replace(STEADY, worker_queue_percent=0), partitions=3, concurrency=1)
    proxy.admit(*"abc")
    proxy.hear(call("g"))
    proxy.hear(call("h"))
    events = proxy.hear(RegisterAgent("writer", "news", 4, 2, ("write",)))
    assert [e.partition for e in events if isinstance(e, CallDequeued)] == [3, 0]


def test_fewer_workers_get_no_more_than_they_can_take() -> None:
    proxy = full()
    proxy.hear(RegisterAgent("writer", "news", 1, 1, ("write",)))
    assert isinstance(proxy.hear(call("g"))[0], CallQueued)
    proxy.hear(outcome("b"))
    assert proxy.target.loads == [3, 2]
    assert list(proxy.target.queue) == ["g"]


# -- cancelling -------------------------------------------------------------------------------


def test_cancelling_a_call_that_waits_answers_it() -> None:
    proxy = full()
    proxy.hear(call("g"))
    proxy.hear(CancelCall("g", "saga", "writer"))
    assert (proxy.refusal().kind, proxy.refusal().retryable) == ("cancelled", False)
    assert "g" not in proxy.state.places


def test_cancelling_a_call_in_flight_is_passed_on_once() -> None:
    proxy = Proxy()
    proxy.admit("a", "b")
    cancel = CancelCall("b", "saga", "writer")
    proxy.hear(cancel)
    assert proxy.effects == [Send("folkmoot.agent.writer.inbox", cancel, partition=1)]
    assert proxy.hear(cancel) == []


def test_cancelling_what_is_not_known_changes_nothing() -> None:
    assert Proxy().hear(CancelCall("a", "saga", "writer")) == []


def test_a_cancelled_call_neither_fails_nor_expires_to_its_targets_blame() -> None:
    proxy = Proxy(replace(STEADY, consecutive_failures=1))
    proxy.admit("a", "b")
    proxy.hear(CancelCall("a", "saga", "writer"))
    proxy.hear(CancelCall("b", "saga", "writer"))
    proxy.fail("a")
    proxy.hear(Tick(), after_ms=60_000 + GRACE_MS)
    assert proxy.phase == "closed"
    assert proxy.target.loads == [0, 0]


# -- opening ----------------------------------------------------------------------------------


def test_failures_in_a_row_open_the_breaker() -> None:
    proxy = Proxy()
    proxy.admit(*"abcde")
    proxy.fail(*"abcd")
    assert proxy.phase == "closed"
    assert proxy.fail("e")[1:] == [
        BreakerOpened("writer", "consecutive-failures", 2_000, 1, 5, 5, 5, 0)
    ]
    changed = BreakerChanged("writer", "open", "consecutive-failures", START, 1, START + 2_000)
    assert proxy.effects == [Local(Announce("folkmoot.announce.breakers.writer", changed))]


def test_a_success_in_between_begins_the_row_anew() -> None:
    proxy = Proxy()
    proxy.admit(*"abcdefghi")
    proxy.fail(*"abcd")
    proxy.hear(outcome("e"))
    proxy.fail(*"fghi")
    assert proxy.phase == "closed"


@pytest.mark.parametrize(
    ("successes", "failures", "phase"), [(5, 5, "open"), (5, 4, "closed"), (6, 5, "closed")]
)
def test_half_of_at_least_ten_calls_failing_opens_the_breaker(
    successes: int, failures: int, phase: str
) -> None:
    proxy = Proxy(replace(STEADY, consecutive_failures=100))
    for n in range(successes):
        proxy.admit(f"s{n}")
        proxy.hear(outcome(f"s{n}"))
    for n in range(failures):
        proxy.admit(f"f{n}")
        proxy.fail(f"f{n}")
    assert proxy.phase == phase


def test_what_left_the_window_does_not_count_for_the_rate() -> None:
    proxy = Proxy(replace(STEADY, consecutive_failures=100, calls_min=2))
    proxy.admit(*"abc")
    proxy.hear(outcome("a"))
    proxy.hear(outcome("b"))
    proxy.now += 10_000
    proxy.fail("c")
    assert proxy.phase == "closed"
    proxy.admit("d")
    proxy.fail("d")
    assert proxy.phase == "open"


def test_slow_calls_open_the_breaker_if_that_is_asked_for() -> None:
    proxy = Proxy(replace(STEADY, slow_call_ms=100, slow_rate_percent=50, calls_min=2))
    proxy.admit(*"ab")
    proxy.hear(outcome("a", duration_ms=99))
    events = proxy.hear(outcome("b", duration_ms=100))
    assert events[-1] == BreakerOpened("writer", "slow-rate", 2_000, 1, 0, 2, 0, 1)


def test_a_slow_success_ends_a_row_of_failures() -> None:
    rules = {"slow_call_ms": 100, "slow_rate_percent": 50, "failure_rate_percent": 100}
    proxy = Proxy(replace(STEADY, calls_min=2, **rules))
    proxy.admit(*"ab")
    proxy.fail("a")
    events = proxy.hear(outcome("b", duration_ms=100))
    assert events[-1] == BreakerOpened("writer", "slow-rate", 2_000, 1, 0, 2, 1, 1)


@pytest.mark.parametrize(
    ("status", "failure"),
    [
        ("failed", Failure("ValueError", "bad question", retryable=False)),
        ("failed", Failure("cancelled", "stopped")),
        ("refused", Failure("overloaded", "busy")),
        ("refused", Failure("timed-out", "never started")),
    ],
)
def test_what_does_not_speak_of_the_target_does_not_count(
    status: OutcomeStatus, failure: Failure
) -> None:
    proxy = Proxy(replace(STEADY, consecutive_failures=2, calls_min=1))
    proxy.admit("a")
    assert proxy.hear(outcome("a", status, failure)) == [CallEnded("writer", "a", "neutral")]
    assert (proxy.phase, proxy.circuit.consecutive) == ("closed", 0)
    assert proxy.circuit.window.counts(proxy.now) == (0, 0, 0)
    assert proxy.target.loads == [0, 0]


def test_what_does_not_count_does_not_end_a_row_of_failures_either() -> None:
    proxy = Proxy(replace(STEADY, consecutive_failures=2))
    proxy.admit(*"abc")
    proxy.fail("a")
    proxy.fail("b", failure=replace(SICK, retryable=False))
    proxy.fail("c")
    assert proxy.phase == "open"


@pytest.mark.parametrize(
    "failure",
    [SICK, Failure("timed-out", "too long"), Failure("timed-out", "", retryable=False), None],
)
def test_what_speaks_of_a_sick_target_counts(failure: Failure | None) -> None:
    proxy = Proxy(replace(STEADY, consecutive_failures=1))
    proxy.admit("a")
    proxy.hear(outcome("a", "failed", failure))
    assert proxy.phase == "open"


def test_an_open_breaker_says_when_to_ask_again() -> None:
    proxy = Proxy()
    proxy.trip()
    proxy.hear(call("x"), after_ms=500)
    failure = proxy.refusal()
    assert (failure.kind, failure.retryable, failure.retry_after_ms) == ("breaker-open", True, 1500)
    proxy.hear(call("y"), after_ms=1_499)
    assert proxy.refusal().retry_after_ms == 1


def test_who_waits_is_sent_home_when_the_breaker_opens() -> None:
    proxy = full(replace(STEADY, consecutive_failures=1))
    proxy.hear(call("g"))
    proxy.hear(call("h", deadline_at=START + 10))
    proxy.now += 10
    proxy.fail("a")
    answers = {a.call_id: a.failure for a in proxy.answers() if a.failure is not None}
    assert {call_id: failure.kind for call_id, failure in answers.items()} == {
        "g": "breaker-open",
        "h": "timed-out",
    }
    assert answers["g"].retry_after_ms == 2_000
    assert not proxy.target.queue
    assert set(proxy.state.places) == set("bcdef")


# -- probing ----------------------------------------------------------------------------------


def test_exactly_one_call_probes_when_the_time_has_come() -> None:
    proxy = Proxy()
    proxy.trip()
    proxy.probe("p")
    assert proxy.now == START + 2_000
    proxy.hear(call("x"))
    failure = proxy.refusal()
    assert (failure.kind, failure.retry_after_ms) == ("breaker-open", 500)
    assert list(proxy.target.flights) == ["p"]


def test_a_probe_that_succeeds_closes_the_breaker() -> None:
    proxy = Proxy()
    proxy.trip()
    proxy.probe("p")
    proxy.hear(outcome("p"))
    assert proxy.phase == "closed"
    assert proxy.circuit.window.counts(proxy.now) == (0, 0, 0)
    proxy.admit("a", "b", "c", "d")
    proxy.fail(*"abcd")
    assert proxy.phase == "closed"


def test_each_probe_that_fails_doubles_the_open_time_up_to_the_cap() -> None:
    proxy = Proxy()
    proxy.trip()
    times = []
    for n in range(6):
        times.append(proxy.circuit.retry_at - proxy.circuit.since)
        proxy.probe(f"p{n}", deadline_at=DEADLINE * 2)
        proxy.fail(f"p{n}")
        assert (proxy.phase, proxy.circuit.reason) == ("open", "probe-failed")
    assert times == [2_000, 4_000, 8_000, 16_000, 30_000, 30_000]


@pytest.mark.parametrize(
    ("well_ms", "open_ms"), [(0, 8_000), (29_999, 8_000), (30_000, 4_000), (60_000, 2_000)]
)
def test_what_a_breaker_remembers_of_its_past_decays(well_ms: int, open_ms: int) -> None:
    proxy = Proxy(replace(STEADY, consecutive_failures=1))
    proxy.admit("o")
    proxy.fail("o")
    proxy.probe("p")
    proxy.fail("p")
    proxy.probe("q")
    proxy.hear(outcome("q"))
    proxy.now += well_ms - 1
    proxy.hear(call("a", deadline_at=DEADLINE * 2))
    proxy.now += 1
    proxy.fail("a")
    assert proxy.circuit.retry_at == proxy.now + open_ms


def test_a_hung_probe_counts_as_failed_after_its_deadline_and_a_grace() -> None:
    proxy = Proxy()
    proxy.trip()
    proxy.probe("p")
    proxy.now = DEADLINE + GRACE_MS - 1
    assert proxy.hear(Tick()) == []
    events = proxy.hear(Tick(), after_ms=1)
    assert events[0] == CallExpired("writer", "p", "failure")
    assert (proxy.phase, proxy.circuit.reason) == ("open", "probe-expired")


@pytest.mark.parametrize(
    ("status", "failure", "wait_ms"),
    [
        ("failed", Failure("ValueError", "bad question", retryable=False), 0),
        ("refused", Failure("overloaded", "busy", retry_after_ms=700), 700),
    ],
)
def test_a_probe_that_finds_out_nothing_lets_the_next_call_probe(
    status: OutcomeStatus, failure: Failure, wait_ms: int
) -> None:
    proxy = Proxy()
    proxy.trip()
    proxy.probe("p")
    proxy.hear(outcome("p", status, failure))
    assert (proxy.phase, proxy.circuit.reason) == ("open", "probe-inconclusive")
    assert proxy.circuit.retry_at == proxy.now + wait_ms
    assert proxy.circuit.openings == 1
    proxy.probe("q")


def test_a_cancelled_probe_that_never_ends_does_not_wedge_the_breaker() -> None:
    proxy = Proxy()
    proxy.trip()
    proxy.probe("p")
    proxy.hear(CancelCall("p", "saga", "writer"))
    proxy.now = DEADLINE + GRACE_MS
    proxy.hear(Tick())
    assert (proxy.phase, proxy.circuit.reason) == ("open", "probe-inconclusive")


def test_a_slow_probe_opens_again() -> None:
    proxy = Proxy(replace(STEADY, slow_call_ms=100))
    proxy.trip()
    proxy.probe("p")
    proxy.hear(outcome("p", duration_ms=100))
    assert (proxy.phase, proxy.circuit.reason) == ("open", "probe-slow")


def test_late_outcomes_of_an_earlier_generation_change_only_the_load() -> None:
    proxy = Proxy()
    proxy.admit("late-1", "late-2", "late-3")
    proxy.trip()
    assert proxy.hear(outcome("late-1")) == [CallEnded("writer", "late-1", "late")]
    proxy.probe("p")
    proxy.hear(outcome("late-2"))
    assert proxy.phase == "half-open"
    proxy.hear(outcome("p"))
    proxy.fail("late-3")
    assert (proxy.phase, proxy.circuit.consecutive) == ("closed", 0)
    assert proxy.target.loads == [0, 0]


def test_a_probe_needs_room_too() -> None:
    proxy = full(replace(STEADY, consecutive_failures=1))
    proxy.fail("a")
    proxy.hear(RegisterAgent("writer", "news", 2, 1, ()))
    proxy.now = proxy.circuit.retry_at
    proxy.hear(call("x"))
    assert proxy.refusal().kind == "overloaded"
    assert proxy.phase == "open"


def test_the_targets_own_wish_prolongs_the_open_time_up_to_the_cap() -> None:
    proxy = Proxy(replace(STEADY, consecutive_failures=1))
    proxy.admit("a")
    proxy.fail("a", failure=replace(SICK, retry_after_ms=9_000))
    assert proxy.circuit.retry_at == START + 9_000
    proxy.probe("p")
    proxy.fail("p", failure=replace(SICK, retry_after_ms=90_000))
    assert proxy.circuit.retry_at == proxy.now + 30_000


def test_jitter_shortens_by_no_more_than_its_share_and_is_the_same_for_everybody() -> None:
    assert _open_times() == _open_times()
    assert 1_600 <= min(_open_times()) < 1_700
    assert 1_900 < max(_open_times()) <= 2_000


def _open_times() -> list[int]:
    """Return how long one breaker is open the first time, in 40 generations."""
    proxy = Proxy(BreakerSettings(consecutive_failures=1, open_jitter_percent=20))
    times = []
    for n in range(40):
        proxy.circuit.openings = 0
        proxy.hear(call(f"a{n}", deadline_at=DEADLINE * 2))
        proxy.fail(f"a{n}")
        times.append(proxy.circuit.retry_at - proxy.circuit.since)
        proxy.probe(f"p{n}", deadline_at=DEADLINE * 2)
        proxy.hear(outcome(f"p{n}"))
    return times


# -- time-outs --------------------------------------------------------------------------------


def test_a_call_that_is_never_answered_frees_its_slot_and_counts_as_failed() -> None:
    proxy = Proxy()
    proxy.admit("a")
    assert proxy.machine.due(proxy.state) == DEADLINE + GRACE_MS
    proxy.now = DEADLINE + GRACE_MS
    assert proxy.hear(Tick()) == [CallExpired("writer", "a", "failure")]
    assert proxy.target.loads == [0, 0]
    assert proxy.circuit.consecutive == 1
    assert proxy.hear(outcome("a")) == []


def test_calls_that_expire_together_open_the_breaker_and_free_no_slot_for_who_waits() -> None:
    proxy = full()
    proxy.hear(call("g", deadline_at=DEADLINE * 2))
    proxy.now = DEADLINE + GRACE_MS
    events = proxy.hear(Tick())
    assert [type(e).__name__ for e in events] == [
        *["CallExpired"] * 6, "BreakerOpened", "CallRefused"
    ]  # fmt: skip
    assert proxy.refusal().kind == "breaker-open"


def test_silence_that_began_before_the_last_transition_does_not_count() -> None:
    proxy = Proxy()
    proxy.hear(call("a", deadline_at=START + 3_000))
    proxy.trip()
    proxy.probe("p")
    proxy.hear(outcome("p"))
    proxy.now = START + 3_000 + GRACE_MS
    assert proxy.hear(Tick()) == [CallExpired("writer", "a", "late")]
    assert proxy.circuit.consecutive == 0


def test_one_tick_expires_a_bounded_number_of_calls() -> None:
    proxy = Proxy(replace(STEADY, expiries_per_tick_max=2, consecutive_failures=100))
    proxy.admit(*"abcde")
    proxy.now = DEADLINE + GRACE_MS
    sizes = []
    while (due := proxy.machine.due(proxy.state)) is not None and due <= proxy.now:
        sizes.append(len(proxy.hear(Tick())))
    assert sizes == [2, 2, 1]


# -- registration, settings, the rest ---------------------------------------------------------


def test_registering_again_changes_nothing() -> None:
    proxy = Proxy()
    assert proxy.hear(RegisterAgent("writer", "news", 2, 10, ("write",))) == []


def test_another_registration_keeps_the_breaker() -> None:
    proxy = Proxy()
    proxy.trip()
    proxy.hear(RegisterAgent("writer", "news", 2, 10, ("write", "edit")))
    assert proxy.phase == "open"
    assert proxy.target.steps == ("write", "edit")


@pytest.mark.parametrize(
    ("message", "reason"),
    [
        (RegisterAgent("Writer", "news", 1, 1, ()), "invalid-agent"),
        (RegisterAgent("w" * 64, "news", 1, 1, ()), "invalid-agent"),
        (RegisterAgent("writer", "news.x", 1, 1, ()), "invalid-team"),
        (RegisterAgent("writer", "news", 0, 1, ()), "invalid-partitions"),
        (RegisterAgent("writer", "news", 257, 1, ()), "invalid-partitions"),
        (RegisterAgent("writer", "news", 1, 0, ()), "invalid-concurrency"),
        (RegisterAgent("writer", "news", 1, 10_001, ()), "invalid-concurrency"),
        (RegisterAgent("writer", "news", 1, 1, ("s",) * 3), "too-many-steps"),
        (RegisterAgent("editor", "news", 1, 1, ()), "too-many-targets"),
        (Leave("member"), "unknown-message"),
    ],
)
def test_what_cannot_be_is_refused_with_a_sentence(message: object, reason: str) -> None:
    proxy = Proxy(replace(STEADY, targets_max=1, steps_max=2))
    before = describe(proxy.state)
    with pytest.raises(Refused) as refused:
        proxy.hear(message)
    assert refused.value.reason == reason
    assert len(refused.value.detail.split()) > 4
    assert describe(proxy.state) == before


def test_a_new_shape_of_the_window_is_recorded_by_the_next_leader() -> None:
    proxy = Proxy()
    assert proxy.hear(Led("replica", 1)) == []
    proxy.machine = BreakerMachine(replace(STEADY, window_bucket_ms=500), partition=3)
    assert proxy.hear(Led("replica", 2)) == [WindowShaped(500, 10)]
    assert (proxy.circuit.window.bucket_ms, proxy.circuit.window.buckets) == (500, 10)
    assert proxy.hear(Led("replica", 3)) == []


@pytest.mark.parametrize(
    "fields",
    [
        {"consecutive_failures": 0},
        {"failure_rate_percent": 101},
        {"failure_rate_percent": 0},
        {"open_jitter_percent": -1},
        {"open_jitter_percent": 101},
        {"open_base_ms": 40_000},
        {"queue_max": 501},
        {"slow_call_ms": 0},
        {"grace_ms": -1},
    ],
)
def test_settings_that_make_no_sense_are_errors(fields: dict[str, int]) -> None:
    with pytest.raises(ValueError, match=next(iter(fields))):
        BreakerSettings(**fields)


def test_the_description_gives_state_figures_and_load() -> None:
    proxy = full()
    proxy.hear(call("g"))
    proxy.fail("a")
    assert describe(proxy.state) == {
        "targets": {
            "writer": {
                "team": "news", "state": "closed", "reason": "registered", "since": START,
                "retry_at": None, "generation": 0, "openings": 0, "consecutive_failures": 1,
                "window": {"calls": 1, "failures": 1, "slow": 0}, "in_flight": [3, 3],
                "queued": 0, "partitions": 2, "concurrency": 2, "steps": ["write"],
                "totals": {"admitted": 7, "ended": 1, "expired": 0, "refused": 0},
            }
        }
    }  # fmt: skip
