"""A lease ends by the clock, also when nothing of its program runs but a thread."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass

import pytest

from folkmoot.sdk.election.lease import Lease, Watchdog, elapsed_ms
from folkmoot.sdk.errors import LeadershipLost


@dataclass
class Hand:
    """A clock that is set by hand."""

    now: int = 1_000

    def __call__(self) -> int:
        return self.now


@pytest.fixture
def watchdog() -> Iterator[Watchdog]:
    made = Watchdog()
    yield made
    made.close()


def test_it_is_good_until_its_end_and_not_at_it() -> None:
    clock = Hand()
    lease = Lease("news", 7, 2_000, clock)
    clock.now = 1_999
    lease.check()
    assert lease.remaining() == 0.001
    clock.now = 2_000
    assert lease.remaining() == 0
    with pytest.raises(LeadershipLost, match=r"epoch 7 of team 'news' is lost: .* in time"):
        lease.check()
    assert lease.lost.is_set()


def test_what_is_lost_stays_lost() -> None:
    clock = Hand()
    lease = Lease("news", 7, 2_000, clock)
    clock.now = 2_000
    lease.extend(9_000)
    assert (lease.remaining(), lease.lost.is_set()) == (0, True)
    with pytest.raises(LeadershipLost):
        lease.check()


def test_it_is_extended_and_never_shortened() -> None:
    clock = Hand()
    lease = Lease("news", 7, 2_000, clock)
    lease.extend(3_000)
    lease.extend(2_500)
    assert lease.remaining() == 2


def test_the_first_reason_counts_and_listeners_hear_it_once() -> None:
    lease, heard = Lease("news", 7, 2_000, Hand()), list[str]()
    lease.lost.tell(heard.append)
    lease.lost.set("one")
    lease.lost.set("two")
    lease.lost.tell(heard.append)
    assert (heard, lease.lost.reason) == (["one", "one"], "one")


def test_a_listener_that_fails_keeps_nobody_from_hearing(caplog: pytest.LogCaptureFixture) -> None:
    lease, heard = Lease("news", 7, 2_000, Hand()), list[str]()

    def fail(reason: str) -> None:
        raise ValueError(reason)

    lease.lost.tell(fail)
    lease.lost.tell(heard.append)
    lease.lost.set("gone")
    assert heard == ["gone"]
    assert "at the loss of a lease failed" in caplog.text


async def test_a_stalled_loop_cannot_believe_that_it_leads(watchdog: Watchdog) -> None:
    """The loop is blocked, as by a handler that never awaits; only the thread can notice."""
    lease, heard_in = Lease("news", 7, elapsed_ms() + 60, elapsed_ms), list[str]()
    lease.lost.tell(lambda _: heard_in.append(threading.current_thread().name))
    watchdog.watch(lease)
    stopped_by = time.monotonic() + 5
    while not heard_in and time.monotonic() < stopped_by:
        time.sleep(0.01)  # noqa: ASYNC251, this is the stall
    assert heard_in == ["folkmoot-leases"]
    assert lease.lost.is_set()
    assert lease.remaining() == 0
    with pytest.raises(LeadershipLost):
        lease.check()


async def test_without_a_thread_the_clock_still_tells_a_loop_that_was_stalled() -> None:
    lease = Lease("news", 7, elapsed_ms() + 20, elapsed_ms)
    time.sleep(0.03)  # noqa: ASYNC251, this is the stall
    with pytest.raises(LeadershipLost):
        lease.check()


async def test_the_watchdog_lets_an_extended_lease_live(watchdog: Watchdog) -> None:
    start = elapsed_ms()
    lease = Lease("news", 7, start + 40, elapsed_ms)
    watchdog.watch(lease)
    lease.extend(start + 400)
    assert not lease.lost.wait(0.1)
    assert lease.lost.wait(5)
    assert elapsed_ms() >= start + 400


async def test_each_lease_is_lost_in_its_own_time(watchdog: Watchdog) -> None:
    start = elapsed_ms()
    late, soon = (Lease("news", 7, start + after_ms, elapsed_ms) for after_ms in (60_000, 30))
    watchdog.watch(late)
    watchdog.watch(soon)
    assert soon.lost.wait(5)
    assert not late.lost.is_set()


async def test_it_can_be_awaited_before_and_after(watchdog: Watchdog) -> None:
    lease = Lease("news", 7, elapsed_ms() + 30, elapsed_ms)
    watchdog.watch(lease)
    async with asyncio.timeout(5):
        assert "in time" in await lease.lost
        assert "in time" in await lease.lost


async def test_who_waited_and_was_cancelled_is_not_told() -> None:
    lease = Lease("news", 7, 2_000, Hand())
    waiting = asyncio.create_task(asyncio.wait_for(lease.lost, 0.001))
    with pytest.raises(TimeoutError):
        await waiting
    lease.lost.set("gone")
    await asyncio.sleep(0)


def test_a_closed_watchdog_leaves_nothing_held() -> None:
    watchdog, lease = Watchdog(), Lease("news", 7, elapsed_ms() + 60_000, elapsed_ms)
    watchdog.watch(lease)
    watchdog.close()
    assert lease.lost.is_set()
    assert "folkmoot-leases" not in [thread.name for thread in threading.enumerate()]


def test_a_loss_after_the_loop_was_closed_is_no_error() -> None:
    lease = Lease("news", 7, 2_000, Hand())

    async def wait_a_moment() -> None:
        waiting = asyncio.ensure_future(lease.lost._wait())
        await asyncio.sleep(0)
        waiting.cancel()

    asyncio.run(wait_a_moment())
    lease.lost.set("gone")
    assert lease.lost.is_set()
