"""A handler that asks: its clock stops, its place is free, its answer is kept for every run."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from folkmoot.core.kernel import Claim, Led, Received, Shard
from folkmoot.core.messages import Address, Answer, Call, CancelCall, Outcome, Question
from folkmoot.core.worker import (
    AskQuestion,
    DeliverAnswer,
    HandlerSucceeded,
    RunHandler,
    StopHandler,
    WorkerMachine,
    WorkerSettings,
    WorkerState,
)

ORCHESTRATOR = Address("folkmoot.saga-orchestrator.inbox", 1)
BREAKER = Address("folkmoot.breaker-proxy.inbox", 0)
CALL = Call(
    "a", "s", "x", "step", "x", "clerk", "office", 1, None, "s/x/do", 1_000, ORCHESTRATOR,
    observed_by=BREAKER,
)  # fmt: skip
ASK = AskQuestion("a", 1, "ask:ask#1", "may I?", {"type": "boolean"}, 9_000)


class Worker:
    """A worker with room for one handler."""

    def __init__(self) -> None:
        machine = WorkerMachine("agent.clerk", "m", 3, WorkerSettings(concurrency=1))
        self.shard: Shard[WorkerState] = Shard(machine, "m")
        self.shard.observe(0, Claim("m", 0, -1, -1))
        self.requests: list[Any] = []
        self.tell(CALL, now=0)

    def tell(self, message: object, now: int) -> list[str]:
        entry = self.shard.decide(Received(message), now)
        if entry is None:
            return []
        locals_ = self.shard.commit(self.shard.next_offset, 1)
        self.requests += [local.request for local in locals_]
        return [type(event).__name__ for event in entry.events]

    def sent(self, cls: type) -> list[Any]:
        messages = [pending.send.message for pending in self.shard.pending]
        return [message for message in messages if isinstance(message, cls)]


def test_a_question_is_put_once_with_where_its_answer_goes() -> None:
    worker = Worker()
    assert worker.tell(ASK, now=100) == ["CallAsked"]
    assert worker.tell(ASK, now=200) == []
    (question,) = worker.sent(Question)
    assert question == Question(
        "s/x/do/ask:ask#1", "a", "s", "x", "ask:ask#1", "may I?", {"type": "boolean"}, 9_100,
        Address("folkmoot.agent.clerk.inbox", 3), sent_at=100,
    )  # fmt: skip


def test_an_answer_is_journaled_and_delivered_once() -> None:
    worker = Worker()
    worker.tell(ASK, now=100)
    answer = Answer("a", "s", "ask:ask#1", True)
    assert worker.tell(answer, now=500) == ["CallAnswered"]
    assert worker.tell(replace(answer, value=False), now=600) == []
    kept = {"answered": True, "value": True}
    assert worker.requests[-1] == DeliverAnswer("a", "ask:ask#1", kept)
    worker.tell(Led("n", 9), now=700)
    again = worker.requests[-1]
    assert isinstance(again, RunHandler)
    assert again.journal == {"ask:ask#1": kept}
    assert worker.tell(replace(ASK, run=2), now=800) == []


def test_the_time_that_a_question_takes_is_not_the_handlers() -> None:
    worker = Worker()
    worker.tell(ASK, now=400)
    worker.tell(Led("n", 9), now=5_000)
    assert worker.requests[-1].call.deadline_at == 5_600
    worker.tell(Answer("a", "s", "ask:ask#1", True), now=8_400)
    worker.tell(Led("o", 10), now=8_900)
    assert worker.requests[-1].call.deadline_at == 9_000
    assert worker.tell(Led("p", 11), now=9_000) == ["CallEnded"]


def test_of_two_questions_at_once_the_time_counts_once() -> None:
    worker = Worker()
    worker.tell(ASK, now=100)
    worker.tell(replace(ASK, key="other"), now=200)
    worker.tell(Answer("a", "s", "ask:ask#1", True), now=300)
    worker.tell(Answer("a", "s", "other", True), now=500)
    worker.tell(Led("n", 9), now=600)
    assert worker.requests[-1].call.deadline_at == 1_400


def test_who_waits_for_an_answer_takes_nobodys_place() -> None:
    worker = Worker()
    other = replace(CALL, call_id="b", deadline_at=99_000)
    worker.tell(other, now=1)
    assert worker.tell(ASK, now=2) == ["CallAsked"]
    assert worker.shard.due() == 0
    started = [r.call.call_id for r in worker.requests if isinstance(r, RunHandler)]
    assert started == ["a"]
    worker.tell(replace(other, call_id="c"), now=3)
    worker.tell(HandlerSucceeded("a", 1, None), now=4)
    assert worker.shard.state.asking == 0
    assert worker.shard.state.running == 1


def test_the_breaker_lets_go_of_a_call_that_waits_for_a_person() -> None:
    worker = Worker()
    worker.tell(ASK, now=2)
    worker.tell(replace(ASK, key="ask:ask#2"), now=3)
    (outcome,) = worker.sent(Outcome)
    assert (outcome.status, outcome.failure.kind) == ("refused", "asking")
    assert [p.send.topic for p in worker.shard.pending if p.send.message == outcome] == [
        BREAKER.topic
    ]


def test_a_handler_that_waits_can_be_stopped() -> None:
    worker = Worker()
    worker.tell(ASK, now=2)
    worker.tell(CancelCall("a", "s", "clerk"), now=3)
    assert worker.requests[-1] == StopHandler("a")
