"""Which calls go to which worker, which wait, and which are refused."""

from __future__ import annotations

from dataclasses import replace

import pytest

from folkmoot.core.breaker import (
    CallAdmitted,
    CallDequeued,
    CallQueued,
)
from folkmoot.core.breaker.state import ROUTES_REMEMBERED_MAX
from folkmoot.core.kernel import Send, Tick
from folkmoot.core.messages import (
    Call,
    CallKind,
    CancelCall,
    RegisterAgent,
)
from tests.unit.core.breaker.proxy import (
    DEADLINE,
    GRACE_MS,
    OWN,
    START,
    STEADY,
    Proxy,
    call,
    full,
    outcome,
)

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


@pytest.mark.parametrize("ahead_ms", [-3_600_000, 3_600_000])
def test_a_call_has_its_time_whatever_its_senders_clock(ahead_ms: int) -> None:
    proxy = full()
    sent_at = START + ahead_ms
    sent = replace(call("g", deadline_at=sent_at + 500), sent_at=sent_at, start_by=sent_at + 300)
    assert proxy.hear(sent) == [CallQueued("writer", sent)]
    assert proxy.machine.due(proxy.state) == START + 500
    freed = proxy.hear(outcome("a"), after_ms=200)
    assert freed[1:] == [CallDequeued("writer", "g", 0, START + 500 + GRACE_MS)]
    (passed_on,) = (each.message for each in proxy.effects if isinstance(each, Send))
    assert isinstance(passed_on, Call)
    left = (passed_on.deadline_at - passed_on.sent_at, passed_on.start_by - passed_on.sent_at)
    assert left == (300, 100)


def test_who_is_admitted_at_once_has_all_its_time_at_the_worker() -> None:
    proxy = Proxy()
    sent = replace(call("a", deadline_at=900), sent_at=400)
    assert proxy.hear(sent) == [CallAdmitted("writer", sent, 0, START + 500 + GRACE_MS)]
    (passed_on,) = (each.message for each in proxy.effects if isinstance(each, Send))
    assert passed_on == replace(sent, observed_by=OWN)


# -- the queue --------------------------------------------------------------------------------


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
