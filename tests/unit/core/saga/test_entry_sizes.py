"""No decision outgrows a log entry, however wide a plan is and whatever comes together.

A leader whose entry is too large starts over, and one that it made of its own accord, when a timer
was due, it would make again and again.
"""

from __future__ import annotations

from saga_driver import Driver, outcome, step

from folkmoot.contracts.codec import encode_record
from folkmoot.core.kernel import Led, Tick
from folkmoot.core.messages import CancelSaga, Failure, Task
from folkmoot.core.saga import SagaSettings
from folkmoot.core.saga.settings import DETAIL_CHARS_MAX

ENTRY_BYTES_MAX = 1_000_000
WIDE = 2_000


def largest(driver: Driver) -> int:
    return max(len(encode_record(entry, "o/0", 1)[0]) for entry in driver.log)


def wide(count: int, **fields: object) -> list[dict[str, object]]:
    return [step(f"s{number}", **fields) for number in range(count)]


def work_off(driver: Driver) -> None:
    """Tick as the leader does for as long as something is ready."""
    while (due := driver.shard.due()) is not None and due <= driver.now:
        assert driver.give(Tick())


def test_a_wide_plan_begins_in_waves_and_is_undone_in_waves() -> None:
    driver = Driver(SagaSettings(hook_attempts=1))
    driver.open_with(*wide(WIDE))
    assert 0 < len(driver.calls) - 1 < WIDE
    begun_with = len(driver.log)
    work_off(driver)
    assert len(driver.log) - begun_with < WIDE / SagaSettings().wave_max
    forward = [call for call in driver.calls if call.kind == "step"]
    assert len(forward) == WIDE
    for call in forward:
        driver.give(outcome(call))
    driver.pass_time(SagaSettings().hook_timeout_ms + SagaSettings().answer_grace_ms)
    undoing = [call for call in driver.calls if call.kind == "compensate"]
    assert len({call.step_id for call in undoing}) == WIDE
    for call in undoing:
        driver.give(outcome(call))
    assert [result.state for result in driver.results] == ["compensated"]
    assert largest(driver) < ENTRY_BYTES_MAX
    assert driver.replayed() == driver.state


def test_a_step_that_many_need_begins_them_in_waves() -> None:
    driver = Driver()
    driver.open_with(step("a"), *[step(f"s{number}", "a") for number in range(WIDE)])
    driver.succeed("a")
    work_off(driver)
    assert len([call for call in driver.calls if call.kind == "step"]) == 1 + WIDE
    assert largest(driver) < ENTRY_BYTES_MAX


def test_what_is_ready_when_a_saga_is_cancelled_never_begins() -> None:
    driver = Driver()
    driver.open_with(*wide(WIDE))
    begun = len(driver.calls)
    driver.give(CancelSaga("s1", "anna"))
    work_off(driver)
    assert len(driver.calls) == begun
    assert len(driver.cancels) == begun - 1
    assert largest(driver) < ENTRY_BYTES_MAX


def test_steps_with_long_ids_fit_as_well() -> None:
    driver = Driver()
    driver.open_with(*[step(f"{number:0200}", name="n") for number in range(1_200)])
    work_off(driver)
    driver.give(CancelSaga("s1", "anna"))
    assert not driver.results
    driver.pass_time(1_000 + SagaSettings().answer_grace_ms)
    assert len({call.step_id for call in driver.calls if call.kind == "compensate"}) == 1_200
    assert largest(driver) < ENTRY_BYTES_MAX


def test_many_sagas_that_turn_back_together_do_so_in_several_entries() -> None:
    driver = Driver(SagaSettings(hook_attempts=1))
    for number in range(200):
        saga_id = f"{number:020x}"
        driver.open_with(*wide(30), saga_id=saga_id)
        for each in range(30):
            driver.succeed(f"s{each}", saga_id=saga_id)
    driver.now += 100_000
    driver.give(Led("a", 0))
    driver.pass_time(3_000)
    assert len([call for call in driver.calls if call.kind == "compensate"]) == 200 * 30
    assert largest(driver) < ENTRY_BYTES_MAX


def test_the_largest_result_fits() -> None:
    driver = Driver()
    driver.open_with()
    driver.succeed("aggregate", "x" * 512 * 1024)
    assert len(driver.results[0].result) == 512 * 1024
    assert largest(driver) < ENTRY_BYTES_MAX


def test_the_longest_sentences_fit() -> None:
    long = "x" * 500_000
    driver = Driver()
    driver.open_with(step("a", compensable=False))
    driver.fail("a", Failure("broken", long, retryable=False))
    driver.submit("s2")
    driver.give(CancelSaga("s2", "anna", long))
    driver.succeed("plan", [], saga_id="s2")
    driver.give(Task(long, None, "s3"))
    said = [result.failure.detail for result in driver.results if result.failure is not None]
    assert len(said) == 3
    assert max(len(detail) for detail in said) <= DETAIL_CHARS_MAX
    assert largest(driver) < ENTRY_BYTES_MAX
