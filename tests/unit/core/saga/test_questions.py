"""What steps ask: open until answered, expired or of no use; answered once; kept for a retry."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from saga_driver import Driver, outcome, step

from folkmoot.core.messages import (
    Address,
    Answer,
    AnswerQuestion,
    CallProgress,
    CancelSaga,
    Failure,
    PauseSaga,
    Question,
    ResumeSaga,
    SignalSaga,
)
from folkmoot.core.saga import SagaSettings, find

WORKER = Address("folkmoot.agent.worker.inbox", 2)
ID = "s1/a/do/ask:ask#1"
GRACE = SagaSettings().answer_grace_ms
DAY = 24 * 3600 * 1000


def names(events: list[Any]) -> list[str]:
    return [type(event).__name__ for event in events]


def question(driver: Driver, wait_ms: int = DAY, signal: str = "", number: int = 1) -> Question:
    call = driver.call("a")
    kind = f"signal:{signal}" if signal else "ask:ask"
    key = f"{kind}#{number}"
    question_id = f"{call.idempotency_key}/{key}"
    at = driver.now + wait_ms
    ids = (question_id, call.call_id, "s1", "a", key)
    return Question(*ids, "may I?", {"type": "boolean"}, at, WORKER, signal)


def asking(wait_ms: int = DAY, **fields: Any) -> Driver:
    driver = Driver()
    driver.open_with(step("a", timeout_ms=10_000, **fields))
    driver.pass_time(4_000)
    assert names(driver.give(question(driver, wait_ms))) == ["QuestionAsked"]
    return driver


def answers(driver: Driver) -> list[Answer]:
    found = [send for send in driver.sent if isinstance(send.message, Answer)]
    assert {(send.topic, send.partition) for send in found} <= {(WORKER.topic, WORKER.partition)}
    return [send.message for send in found if isinstance(send.message, Answer)]


def test_an_answer_goes_to_the_worker_that_asked_and_only_the_first() -> None:
    driver = asking()
    shown = find(driver.state, "s1")
    assert shown is not None
    assert [(q["id"], q["prompt"]) for q in shown["questions"]] == [(ID, "may I?")]
    assert shown["steps"][1]["waiting_for"] == "somebody's answer"
    driver.give(AnswerQuestion("s1", ID, "anna", True, "fine"))
    (refused,) = driver.give(AnswerQuestion("s1", ID, "bert", False))
    assert (refused.failure.kind, refused.failure.detail) == (
        "answered",
        f"{ID!r} was answered by anna",
    )
    assert answers(driver) == [Answer(driver.call("a").call_id, "s1", "ask:ask#1", True)]
    assert driver.replayed() == driver.state


@pytest.mark.parametrize("ahead_ms", [-3_600_000, 3_600_000])
def test_a_question_has_its_time_whatever_its_senders_clock(ahead_ms: int) -> None:
    driver = Driver()
    driver.open_with(step("a", timeout_ms=10_000))
    asked = question(driver, wait_ms=5_000)
    at = driver.now + ahead_ms
    (event,) = driver.give(replace(asked, sent_at=at, deadline_at=at + 5_000))
    assert event.deadline_at == driver.now + 5_000


def test_the_steps_clock_stands_still_while_it_asks() -> None:
    driver = asking()
    driver.pass_time(DAY - 1_000)
    driver.give(AnswerQuestion("s1", ID, "anna", True))
    driver.pass_time(6_000 + GRACE - 1)
    assert not driver.cancels
    driver.pass_time(1)
    assert len(driver.cancels) == 1


def test_signs_of_life_neither_shorten_a_question_nor_lengthen_what_is_left_after_it() -> None:
    driver = asking(heartbeat_ms=2_000)
    call = driver.call("a")
    alive = CallProgress(call.call_id, "s1", "a")
    assert driver.give(alive) == []
    driver.pass_time(DAY - 1_000)
    assert not driver.cancels
    driver.give(AnswerQuestion("s1", ID, "anna", True))
    for _ in range(3):
        driver.give(alive)
        driver.pass_time(1_900)
    assert not driver.cancels
    driver.give(alive)
    driver.pass_time(300 + GRACE)
    assert len(driver.cancels) == 1


def test_a_question_that_nobody_answers_expires_and_the_handler_is_told() -> None:
    driver = asking(wait_ms=5_000)
    driver.pass_time(5_000 + GRACE)
    assert answers(driver) == [Answer(driver.call("a").call_id, "s1", "ask:ask#1", None, False)]
    (late,) = driver.give(AnswerQuestion("s1", ID, "anna", True))
    assert late.failure.kind == "too-late"
    driver.succeed("a", "without")
    assert driver.calls[-1].step_id == "aggregate"


def test_another_attempt_that_asks_the_same_is_told_the_same() -> None:
    driver = asking(retry={"attempts": 2, "initial_ms": 0, "cap_ms": 0})
    driver.give(AnswerQuestion("s1", ID, "anna", True))
    driver.fail("a", Failure("flaky", "the worker fell over"))
    driver.pass_time(1)
    assert names(driver.give(question(driver))) == ["QuestionAsked", "QuestionAnswered"]
    assert [(each.call_id, each.value) for each in answers(driver)] == [
        ("s1/a/do/1", True),
        ("s1/a/do/2", True),
    ]
    driver.pass_time(10_000 + GRACE)
    assert len(driver.cancels) == 1


def test_a_question_dies_with_its_call() -> None:
    driver = asking()
    driver.succeed("a", "it went on without")
    (refused,) = driver.give(AnswerQuestion("s1", ID, "anna", True))
    assert refused.failure.kind == "unknown-question"
    assert driver.give(replace(question(driver), call_id="s1/a/do/1")) == []
    assert driver.state.sagas["s1"].asking == {}


def test_a_cancel_goes_straight_to_the_worker_that_asks_and_is_not_kept_waiting() -> None:
    driver = asking()
    driver.give(CancelSaga("s1", "anna"))
    assert (driver.sent[-1].topic, driver.sent[-1].partition) == (WORKER.topic, WORKER.partition)
    driver.give(outcome(driver.call("a"), status="failed", failure=Failure("cancelled", "x")))
    assert driver.call("a", undo=True).in_doubt


def test_a_pause_stops_the_clock_of_a_question_too() -> None:
    driver = asking(wait_ms=5_000)
    driver.give(PauseSaga("s1", "anna"))
    driver.pass_time(DAY)
    driver.give(ResumeSaga("s1", "anna"))
    driver.pass_time(5_000 + GRACE - 1)
    assert answers(driver) == []
    driver.give(AnswerQuestion("s1", ID, "anna", True))
    driver.pass_time(6_000 + GRACE - 5_000)
    assert not driver.cancels
    assert driver.replayed() == driver.state


def test_of_two_questions_each_has_its_own_answer_and_time() -> None:
    driver = asking(wait_ms=20_000)
    driver.give(question(driver, wait_ms=5_000, number=2))
    driver.pass_time(5_000 + GRACE)
    assert [each.answered for each in answers(driver)] == [False]
    driver.give(AnswerQuestion("s1", ID, "anna", True))
    assert [each.answered for each in answers(driver)] == [False, True]
    assert driver.replayed() == driver.state


# -- signals ------------------------------------------------------------------------------------


def test_a_signal_reaches_the_step_that_waits_for_it() -> None:
    driver = Driver()
    driver.open_with(step("a"))
    driver.give(question(driver, signal="paid"))
    driver.give(SignalSaga("s1", "shipped", "shop"))
    assert answers(driver) == []
    driver.give(SignalSaga("s1", "paid", "bank", 7))
    assert [each.value for each in answers(driver)] == [7]


def test_signals_that_come_first_are_kept_in_order_and_each_is_used_once() -> None:
    driver = Driver()
    driver.open_with(step("a"))
    for value in (1, 2):
        assert "SignalKept" in names(driver.give(SignalSaga("s1", "paid", "bank", value)))
    for number in (1, 2, 3):
        driver.give(question(driver, signal="paid", number=number))
    assert [each.value for each in answers(driver)] == [1, 2]
    assert driver.state.sagas["s1"].signals == {}
    driver.give(SignalSaga("s1", "paid", "bank", 3))
    assert [each.value for each in answers(driver)] == [1, 2, 3]
    assert driver.replayed() == driver.state


@pytest.mark.parametrize(
    ("name", "before", "kind"),
    [("", 0, "invalid-name"), ("x" * 201, 0, "invalid-name"), ("paid", 100, "too-many-signals")],
)
def test_a_signal_that_cannot_be_kept_is_refused(name: str, before: int, kind: str) -> None:
    driver = Driver()
    driver.open_with(step("a"))
    for number in range(before):
        driver.give(SignalSaga("s1", f"n{number}", "bank"))
    (refused,) = driver.give(SignalSaga("s1", name, "bank"))
    assert refused.failure.kind == kind
