"""What a breaker shard knows of its targets, and what it does not accept."""

from __future__ import annotations

from dataclasses import replace

import pytest

from folkmoot.core.breaker import (
    BreakerMachine,
    BreakerSettings,
    WindowShaped,
    describe,
)
from folkmoot.core.kernel import Led, Refused
from folkmoot.core.messages import (
    Leave,
    RegisterAgent,
)
from tests.unit.core.breaker.proxy import (
    START,
    STEADY,
    Proxy,
    call,
    full,
)


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
                "limits": {}, "totals": {"admitted": 7, "ended": 1, "expired": 0, "refused": 0},
            }
        }
    }  # fmt: skip
