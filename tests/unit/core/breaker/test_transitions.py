"""When a breaker opens, for how long, and what closes it again."""

from __future__ import annotations

from dataclasses import replace

import pytest

from folkmoot.core.breaker import (
    BreakerChanged,
    BreakerOpened,
    BreakerSettings,
    CallEnded,
    CallExpired,
)
from folkmoot.core.kernel import Local, Tick
from folkmoot.core.messages import (
    Announce,
    CancelCall,
    Failure,
    OutcomeStatus,
    RegisterAgent,
)
from tests.unit.core.breaker.proxy import (
    DEADLINE,
    GRACE_MS,
    SICK,
    START,
    STEADY,
    Proxy,
    call,
    full,
    outcome,
)

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
