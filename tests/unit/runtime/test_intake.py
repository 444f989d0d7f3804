"""What a leader has to decide next: in order, bounded, and never lost on the way."""

from __future__ import annotations

import asyncio

import pytest

from folkmoot.bus.ports import Record
from folkmoot.contracts.envelope import encode_message, origin_headers
from folkmoot.core.kernel import Mark, Received, Undecodable
from folkmoot.core.messages import Task
from folkmoot.core.names import by_wire_name
from folkmoot.runtime.intake import Intake, Poison
from folkmoot.runtime.timing import Timing
from folkmoot.testing.eventually import eventually
from folkmoot.testing.faulty_log import FaultyLog, Storage

BATCH = 10
TYPES = by_wire_name(Task)


def intake(poison: Poison | None = None) -> Intake:
    return Intake(TYPES, Timing(batch_inputs_max=BATCH), poison or {})


def task(team: str, mark: Mark | None = None) -> Record:
    extra = origin_headers("other.log/0", mark) if mark else ()
    value, headers = encode_message(Task(team), event_id="e", source="s", at=0, extra=extra)
    return Record(value, None, headers)


@pytest.fixture
def log() -> FaultyLog:
    return FaultyLog(Storage({"in": 1}))


async def test_inputs_come_in_order_at_most_a_batch_at_a_time() -> None:
    queue = intake()
    for n in range(25):
        queue.submit(n)
    batches = [[work.received.message for work in queue.take()] for _ in range(4)]
    assert batches == [list(range(10)), list(range(10, 20)), list(range(20, 25)), []]


async def test_an_inbox_is_read_no_further_ahead_than_a_batch(log: FaultyLog) -> None:
    log.storage.land("in", 0, [task("t")] * 200)
    queue, taken = intake(), 0
    tail = await log.tail("in", 0, 0)
    pump = asyncio.create_task(queue.pump("in", tail))
    while taken < 200:
        await asyncio.sleep(1)
        assert queue.waiting <= 2 * BATCH
        taken += len(queue.take())
    pump.cancel()
    await asyncio.wait([pump])
    await tail.close()


async def test_an_inbox_of_large_records_is_read_no_further_ahead_than_in_bytes(
    log: FaultyLog,
) -> None:
    large = task("t" * 1_000)
    size_bytes = len(large.value or b"")
    log.storage.land("in", 0, [large] * 60)
    queue = Intake(TYPES, Timing(batch_inputs_max=3, waiting_bytes_max=2 * size_bytes), {})
    pump = asyncio.create_task(queue.pump("in", await log.tail("in", 0, 0)))
    taken = 0
    while taken < 60:
        await asyncio.sleep(1)
        assert queue.waiting <= 3
        taken += len(queue.take())
    assert queue.waiting_bytes == 0
    pump.cancel()


async def test_what_is_read_says_where_it_came_from(log: FaultyLog) -> None:
    log.storage.land("in", 0, [task("a"), task("b", Mark(7, 2)), Record(b"?"), task("d")])
    poisoned = Undecodable("defect", "it broke a decision before")
    queue = intake({("in", 3): poisoned})
    pump = asyncio.create_task(queue.pump("in", await log.tail("in", 0, 1)))
    await queue.wait(1_000)
    b, bad, d = (work.received for work in queue.take())
    assert (b.offset, b.origin, b.mark) == (1, "other.log/0", Mark(7, 2))
    assert isinstance(bad.message, Undecodable)
    assert bad.offset == 2
    assert d == Received(poisoned, "in", 3)
    pump.cancel()


async def test_waiting_ends_with_an_input_a_wake_or_the_time() -> None:
    queue, loop = intake(), asyncio.get_running_loop()
    await queue.wait(500)
    assert loop.time() == pytest.approx(0.5)
    loop.call_later(0.1, queue.wake)
    await queue.wait(500)
    assert loop.time() == pytest.approx(0.6)
    queue.take()
    loop.call_later(0.1, queue.submit, "x")
    await queue.wait(500)
    await queue.wait(500)
    assert loop.time() == pytest.approx(0.7)


async def test_who_waits_is_answered_once_however_it_ends() -> None:
    queue = intake()
    first, given_up, second = (queue.submit(n) for n in range(3))
    given_up.cancel()
    queue.take()
    queue.settle()
    assert first.done()
    assert second.result() is None
    third = queue.submit(3)
    queue.take()
    fourth = queue.submit(4)
    queue.close(RuntimeError("no longer led"))
    await eventually(lambda: third.done() and fourth.done())
    assert [str(future.exception()) for future in (third, fourth)] == ["no longer led"] * 2
