"""Who waits is served by shares: tenants alike, priorities by weight, each tenant in order."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace

from folkmoot.core.breaker import (
    BreakerSettings,
    CallDequeued,
    CallQueued,
    CallRefused,
    describe_call,
)
from folkmoot.core.breaker.queueing import in_turn, join, leave, who_yields
from folkmoot.core.breaker.state import Circuit, Target
from folkmoot.core.breaker.window import Window
from folkmoot.core.messages import Call
from folkmoot.core.shares import Priority, Share
from folkmoot.core.turns import Turns
from tests.unit.core.breaker.proxy import Proxy, call, outcome


def target() -> Target:
    return Target("writer", Circuit(Window(1, 1), 0))


def of(tenant: str, number: int, priority: Priority = "normal") -> Call:
    return replace(call(f"{tenant}{number:03}"), share=Share(tenant, priority))


def served(queue: Target, most: int = 1_000) -> list[str]:
    """Serve who waits, one after the other; return whose calls they were."""
    found: list[str] = []
    while queue.queue and len(found) < most:
        following = next(in_turn(queue))
        leave(queue, following.call_id, served=True)
        found.append(following.call_id)
    return found


def tenants(call_ids: list[str]) -> Counter[str]:
    return Counter(call_id[0] for call_id in call_ids)


def test_one_tenant_is_served_in_order() -> None:
    queue = target()
    for number in (3, 1, 2):
        join(queue, of("a", number))
    assert served(queue) == ["a003", "a001", "a002"]


def test_a_tenant_that_sends_much_only_makes_itself_wait() -> None:
    queue = target()
    for number in range(100):
        join(queue, of("a", number))
    for number in range(5):
        join(queue, of("b", number))
    assert tenants(served(queue, 10)) == {"a": 5, "b": 5}


def test_who_comes_later_makes_up_for_nothing() -> None:
    queue = target()
    for number in range(100):
        join(queue, of("a", number))
    served(queue, 50)
    for number in range(50):
        join(queue, of("b", number))
    assert tenants(served(queue, 20)) == {"a": 10, "b": 10}


def test_a_higher_priority_has_more_turns_and_the_lowest_has_some() -> None:
    queue = target()
    for number in range(400):
        for tenant, priority in (("h", "high"), ("n", "normal"), ("l", "low")):
            join(queue, of(tenant, number, priority))  # type: ignore[arg-type]
    assert tenants(served(queue, 210)) == {"h": 160, "n": 40, "l": 10}


def test_calls_that_do_not_say_are_one_tenants() -> None:
    queue = target()
    for number in range(3):
        join(queue, replace(of("x", number), share=None))
    join(queue, of("b", 0))
    assert served(queue, 2) in (["b000", "x000"], ["x000", "b000"])


def test_what_leaves_without_being_served_costs_nobody_a_turn() -> None:
    queue = target()
    for number in range(3):
        join(queue, of("a", number))
    assert leave(queue, "a000", served=False) is not None
    assert leave(queue, "a000", served=False) is None
    assert served(queue) == ["a001", "a002"]
    assert queue.turns == Turns()


def test_flows_are_forgotten_while_somebody_always_waits() -> None:
    queue = target()
    join(queue, of("a", 0))
    for number in range(1_000):
        join(queue, replace(of("b", number), share=Share(f"tenant {number}")))
        served(queue, 1)
    assert len(queue.queue) == 1
    assert len(queue.turns.flows) < 100


def test_a_full_queue_is_shared_by_who_has_least_of_it() -> None:
    queue = target()
    for number in range(6):
        join(queue, of("a", number))
    join(queue, of("b", 0))
    assert who_yields([*queue.queue.values()], of("a", 9)) is None
    yields = who_yields([*queue.queue.values()], of("b", 9))
    assert yields is not None
    assert yields.call_id == "a005", "the last to come is the first to go"
    for number in range(1, 5):
        join(queue, of("b", number))
    assert who_yields([*queue.queue.values()], of("b", 9)) is None, "that would only turn it round"


def test_a_breaker_serves_tenants_alike_and_lets_a_new_one_into_a_full_queue() -> None:
    settings = BreakerSettings(queue_max=4, worker_queue_percent=0)
    proxy = Proxy(settings, partitions=1, concurrency=1)
    proxy.hear(of("a", 0))
    for number in range(1, 5):
        assert [type(each) for each in proxy.hear(of("a", number))] == [CallQueued]
    refused, queued = proxy.hear(of("b", 0))
    assert isinstance(refused, CallRefused)
    assert refused.outcome.failure is not None
    assert (refused.outcome.call_id, refused.outcome.failure.kind) == ("a004", "overloaded")
    assert isinstance(queued, CallQueued)
    order = []
    running = "a000"
    while proxy.target.queue:
        (dequeued,) = (e for e in proxy.hear(outcome(running)) if isinstance(e, CallDequeued))
        order.append(running := dequeued.call_id)
    assert order == ["a001", "b000", "a002", "a003"]


def test_a_call_can_be_asked_after() -> None:
    proxy = Proxy(BreakerSettings(worker_queue_percent=0), partitions=1, concurrency=1)
    for number in range(3):
        proxy.hear(of("a", number))
    sent = describe_call(proxy.state, "a000")
    assert sent == {
        "call_id": "a000", "target": "writer", "breaker": "closed", "state": "sent", "partition": 0,
    }  # fmt: skip
    waits = describe_call(proxy.state, "a002")
    assert waits is not None
    assert (waits["state"], waits["ahead"]) == ("queued", 1)
    assert waits["waiting_for"] == "room at the 1 partitions of writer, 1 before it"
    proxy.hear(outcome("a000"))
    assert describe_call(proxy.state, "a000") is None
