"""No limit is exceeded; who is held back by one waits in turn, and holds up nobody else."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from folkmoot.core.breaker import (
    AgentRegistered,
    BreakerSettings,
    CallAdmitted,
    CallDequeued,
    CallQueued,
    CallRefused,
    LimitReopened,
    describe,
    describe_call,
)
from folkmoot.core.kernel import Led, Position, Refused, Tick
from folkmoot.core.messages import Call, RegisterAgent
from folkmoot.core.shares import Limit, Share
from tests.unit.core.breaker.proxy import DEADLINE, STEADY, Proxy, call, outcome

TWO_AT_ONCE = Limit("openai", ("ask",), in_flight=2)
THREE_A_SECOND = Limit("openai", ("ask",), starts=3, period_ms=1_000)


def limited(*limits: Limit, settings: BreakerSettings = STEADY, concurrency: int = 10) -> Proxy:
    proxy = Proxy(settings, concurrency=concurrency)
    proxy.hear(register(*limits, concurrency=concurrency))
    return proxy


def register(*limits: Limit, concurrency: int = 10) -> RegisterAgent:
    return RegisterAgent("writer", "news", 2, concurrency, ("write", "ask"), limits)


def ask(call_id: str, tenant: str = "", **fields: Any) -> Call:
    return replace(call(call_id), name="ask", share=Share(tenant), **fields)


def sent(proxy: Proxy, message: object, after_ms: int = 0) -> list[str]:
    """Return which calls are sent to a worker because of an input."""
    found = []
    for event in proxy.hear(message, after_ms):
        if isinstance(event, CallAdmitted):
            found.append(event.call.call_id)
        elif isinstance(event, CallDequeued):
            found.append(event.call_id)
    return found


def replayed(proxy: Proxy, log: list[tuple[object, Position]]) -> Any:
    state = proxy.machine.initial()
    for event, position in log:
        proxy.machine.apply(state, event, position)
    return state


# -- so many at a time --------------------------------------------------------------------------


def test_no_more_are_with_workers_than_may_be_at_a_time() -> None:
    proxy = limited(TWO_AT_ONCE)
    assert sent(proxy, ask("a")) == ["a"]
    assert sent(proxy, ask("b")) == ["b"]
    (queued,) = proxy.hear(ask("c"))
    assert isinstance(queued, CallQueued)
    assert queued.limit == "openai"
    assert sent(proxy, outcome("a")) == ["c"]


def test_who_has_another_limit_or_none_is_not_held_up() -> None:
    proxy = limited(replace(TWO_AT_ONCE, in_flight=1), Limit("disk", ("save",), in_flight=1))
    sent(proxy, ask("a"))
    sent(proxy, ask("b"))
    assert sent(proxy, call("plain")) == ["plain"]
    assert sent(proxy, replace(call("c"), name="save")) == ["c"]


def test_what_undoes_a_step_counts_like_it() -> None:
    proxy = limited(replace(TWO_AT_ONCE, in_flight=1))
    assert sent(proxy, ask("a", kind="compensate")) == ["a"]
    assert sent(proxy, ask("b")) == []


def test_a_limit_may_be_each_tenants_own() -> None:
    proxy = limited(replace(TWO_AT_ONCE, in_flight=1, by_tenant=True))
    assert sent(proxy, ask("a1", "ann")) == ["a1"]
    assert sent(proxy, ask("a2", "ann")) == []
    assert sent(proxy, ask("b1", "bob")) == ["b1"]
    assert sent(proxy, outcome("b1")) == []
    assert sent(proxy, outcome("a1")) == ["a2"]


def test_tenants_take_turns_where_they_share_a_limit() -> None:
    proxy = limited(replace(TWO_AT_ONCE, in_flight=1))
    sent(proxy, ask("a0", "ann"))
    for number in range(1, 4):
        sent(proxy, ask(f"a{number}", "ann"))
    sent(proxy, ask("b1", "bob"))
    order, running = [], "a0"
    for _ in range(4):
        (running,) = sent(proxy, outcome(running))
        order.append(running)
    assert order == ["a1", "b1", "a2", "a3"]


def test_a_limit_opens_only_where_there_is_room() -> None:
    proxy = limited(TWO_AT_ONCE, settings=replace(STEADY, worker_queue_percent=0), concurrency=1)
    assert sent(proxy, call("p")) + sent(proxy, ask("a")) == ["p", "a"]
    assert sent(proxy, ask("b")) == [], "both partitions are taken"
    assert sent(proxy, outcome("p")) == ["b"]


def test_a_call_that_expired_is_at_work_no_more() -> None:
    proxy = limited(replace(TWO_AT_ONCE, in_flight=1))
    sent(proxy, ask("a", deadline_at=proxy.now + 100))
    sent(proxy, ask("b"))
    assert sent(proxy, Tick(), 100 + STEADY.grace_ms) == ["b"]


# -- so many in a period ------------------------------------------------------------------------


def test_no_more_begin_in_any_period_than_may() -> None:
    proxy = limited(THREE_A_SECOND)
    began: list[int] = []
    for number in range(3):
        assert sent(proxy, ask(f"a{number}"), 300)
        began.append(proxy.now)
    assert sent(proxy, ask("b"), 10) == []
    assert proxy.machine.due(proxy.state) == began[0] + 1_000
    proxy.now = began[0] + 1_000
    reopened, dequeued = proxy.hear(Tick())
    assert isinstance(reopened, LimitReopened)
    assert isinstance(dequeued, CallDequeued)
    assert sent(proxy, ask("c"), 1) == [], "the next may begin a second after the second"
    assert sent(proxy, Tick(), 299) == ["c"]


def test_ends_do_not_let_more_begin() -> None:
    proxy = limited(THREE_A_SECOND)
    for each in "abc":
        sent(proxy, ask(each))
    sent(proxy, ask("d"))
    assert sent(proxy, outcome("a"), 10) == []


def test_who_comes_when_a_limit_opens_is_behind_those_who_wait() -> None:
    proxy = limited(replace(THREE_A_SECOND, starts=1))
    sent(proxy, ask("a"))
    sent(proxy, ask("b"))
    assert sent(proxy, ask("c"), 1_000) == []
    assert sent(proxy, Tick()) == ["b"]


def test_a_limit_that_opens_while_there_is_no_room_asks_for_no_more_ticks() -> None:
    settings = replace(STEADY, worker_queue_percent=0)
    proxy = limited(replace(THREE_A_SECOND, starts=1), settings=settings, concurrency=1)
    sent(proxy, ask("a"))
    sent(proxy, call("p"))
    sent(proxy, ask("b"))
    assert [type(each) for each in proxy.hear(Tick(), 1_000)] == [LimitReopened]
    due = proxy.machine.due(proxy.state)
    assert due is not None
    assert due > proxy.now
    assert sent(proxy, outcome("p")) == ["b"]


# -- what becomes of those who wait -------------------------------------------------------------


def test_a_call_waits_for_a_limit_for_half_of_its_time_and_is_to_come_again() -> None:
    proxy = limited(replace(TWO_AT_ONCE, in_flight=1))
    sent(proxy, ask("a"))
    sent(proxy, ask("b", deadline_at=proxy.now + 1_000))
    assert proxy.machine.due(proxy.state) == proxy.now + 500
    proxy.hear(Tick(), 500)
    refused = proxy.refusal()
    assert (refused.kind, refused.retryable) == ("limited", True)
    assert refused.retry_after_ms is not None
    assert "2 at a time" not in refused.detail
    assert "1 at a time" in refused.detail
    assert sent(proxy, outcome("a")) == []


def test_those_whom_limits_hold_back_take_no_place_from_others() -> None:
    settings = replace(STEADY, held_max=1, queue_max=1, worker_queue_percent=0)
    proxy = limited(replace(TWO_AT_ONCE, in_flight=1), settings=settings, concurrency=1)
    sent(proxy, ask("a"))
    sent(proxy, ask("b"))
    proxy.hear(ask("c"))
    assert proxy.refusal().kind == "limited"
    sent(proxy, call("p"))
    (queued,) = proxy.hear(call("q"))
    assert isinstance(queued, CallQueued)
    proxy.hear(call("r"))
    assert proxy.refusal().kind == "overloaded"


def test_who_is_refused_is_told_when_its_turn_may_come() -> None:
    settings = replace(STEADY, held_max=10)
    slow = Limit("openai", ("ask",), starts=1, period_ms=2_000)
    proxy = limited(slow, settings=settings)
    for number in range(11):
        proxy.hear(ask(f"a{number:02}"))
    proxy.hear(ask("late"))
    wait_ms = proxy.refusal().retry_after_ms
    assert wait_ms is not None
    assert 20_000 <= wait_ms <= 40_000, "ten are before it, one in two seconds"


def test_a_full_wait_for_limits_is_shared_among_tenants() -> None:
    proxy = limited(replace(TWO_AT_ONCE, in_flight=1), settings=replace(STEADY, held_max=3))
    for number in range(4):
        proxy.hear(ask(f"a{number}", "ann"))
    refused, queued = proxy.hear(ask("b", "bob"))
    assert isinstance(refused, CallRefused)
    assert (refused.outcome.call_id, type(queued)) == ("a3", CallQueued)


def test_the_probe_keeps_the_limit() -> None:
    proxy = limited(replace(TWO_AT_ONCE, in_flight=1), Limit("x", ("write",), in_flight=9))
    sent(proxy, ask("a"))
    proxy.trip()
    proxy.now = proxy.circuit.retry_at
    proxy.hear(ask("b"))
    assert proxy.refusal().kind == "limited"
    assert proxy.phase == "open"


# -- other limits, other leaders ----------------------------------------------------------------


def test_a_limit_that_is_raised_lets_those_begin_who_wait() -> None:
    proxy = limited(replace(TWO_AT_ONCE, in_flight=1))
    for each in "abc":
        sent(proxy, ask(each))
    assert sent(proxy, register(TWO_AT_ONCE)) == ["b"]
    assert sent(proxy, register()) == ["c"], "without a limit nobody waits for one"
    for each in "abc":
        sent(proxy, outcome(each))
    assert proxy.target.gates == {}
    assert proxy.target.held == {}


def test_a_limit_that_is_lowered_holds_back_until_enough_have_ended() -> None:
    proxy = limited(TWO_AT_ONCE)
    for each in "abc":
        sent(proxy, ask(each))
    sent(proxy, register(replace(TWO_AT_ONCE, in_flight=1)))
    assert sent(proxy, outcome("a")) == []
    assert sent(proxy, outcome("b")) == ["c"]


def test_another_leader_keeps_to_the_limits() -> None:
    proxy = limited(TWO_AT_ONCE, replace(THREE_A_SECOND, name="search", steps=("search",)))
    for each in ("a", "b", "c"):
        sent(proxy, ask(each))
    for number in range(4):
        sent(proxy, replace(ask(f"s{number}"), name="search"))
    proxy.machine = type(proxy.machine)(replace(STEADY, held_max=1), 3)
    sent(proxy, Led("other", 9))
    assert sent(proxy, Tick(), 999) == []
    assert sent(proxy, Tick(), 1) == ["s3"]
    assert sent(proxy, outcome("a")) == ["c"]


def test_what_is_not_in_use_is_forgotten() -> None:
    proxy = limited(replace(THREE_A_SECOND, by_tenant=True))
    for number in range(1_000):
        sent(proxy, ask(f"a{number}", f"tenant {number}"), 10)
        sent(proxy, outcome(f"a{number}"))
    assert len(proxy.target.gates) <= 101


# -- what is told -------------------------------------------------------------------------------


def test_who_waits_is_told_for_what() -> None:
    proxy = limited(replace(TWO_AT_ONCE, in_flight=1))
    for each in "abc":
        sent(proxy, ask(each))
    sent(proxy, call("p"))
    waits = describe_call(proxy.state, "c")
    assert waits is not None
    assert (waits["ahead"], waits["limit"]) == (1, "openai")
    assert waits["waiting_for"] == "limit openai: 1 of 1 are at work, 1 before it"
    shown: Any = describe(proxy.state)["targets"]
    assert shown["writer"]["limits"] == {
        "openai": {
            "in_flight": 1, "in_flight_max": 1, "starts_max": 0, "period_ms": 0, "queued": 2,
        }
    }  # fmt: skip


def test_who_waits_for_time_to_pass_is_told_until_when() -> None:
    proxy = limited(replace(THREE_A_SECOND, starts=1))
    sent(proxy, ask("a"))
    sent(proxy, ask("b"))
    waits = describe_call(proxy.state, "b")
    assert waits is not None
    assert waits["waiting_for"] == "limit openai: 1 in 1,000 ms may begin, 0 before it"
    assert waits["opens_at"] == proxy.now + 1_000


@pytest.mark.parametrize(
    "limits",
    [
        (Limit("openai", ("ask",)),),
        (Limit("Open AI", ("ask",), 1),),
        (Limit("a", ("ask",), -1),),
        (Limit("a", ("ask",), starts=1),),
        (Limit("a", ("ask",), 1, period_ms=5),),
        (Limit("a", ("ask",), starts=10_001, period_ms=1),),
        (Limit("a", ("ask",), starts=1, period_ms=86_400_001),),
        (TWO_AT_ONCE, replace(TWO_AT_ONCE, steps=("write",))),
        (TWO_AT_ONCE, replace(TWO_AT_ONCE, name="other")),
        tuple(Limit(f"n{n}", (f"s{n}",), 1) for n in range(101)),
    ],
)
def test_what_is_no_limit_is_refused(limits: tuple[Limit, ...]) -> None:
    proxy = limited()
    with pytest.raises(Refused) as refusal:
        proxy.hear(register(*limits))
    assert refusal.value.reason == "invalid-limits"


def test_registering_the_same_limits_again_changes_nothing() -> None:
    proxy = limited(TWO_AT_ONCE)
    assert proxy.hear(register(TWO_AT_ONCE)) == []
    assert [type(each) for each in proxy.hear(register(THREE_A_SECOND))] == [AgentRegistered]
    assert proxy.now < DEADLINE
