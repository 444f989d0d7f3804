"""The worker's machine, state by state; see libs/core/src/folkmoot/core/worker/README.md."""

from __future__ import annotations

from dataclasses import replace

import pytest

from folkmoot.core.kernel import (
    DEAD_LETTERS,
    Claim,
    Led,
    Local,
    Pending,
    Received,
    Refused,
    Shard,
    Tick,
    Undecodable,
)
from folkmoot.core.messages import Address, Call, CallProgress, CancelCall, Failure, Outcome, Usage
from folkmoot.core.worker import (
    HandlerFailed,
    HandlerSucceeded,
    JournalResult,
    ReportProgress,
    RunHandler,
    StopHandler,
    WorkerMachine,
    WorkerSettings,
    WorkerState,
    describe,
)
from folkmoot.core.worker.machine import TOO_LATE_MAX

ORCHESTRATOR = Address("folkmoot.saga-orchestrator.inbox", 1)
BREAKER = Address("folkmoot.breaker-proxy.inbox", 0)
FAILURE = Failure("Oops", "it broke")


def call(call_id: str, *, deadline_at: int = 1_000_000) -> Call:
    return Call(
        call_id=call_id,
        saga_id="s",
        step_id=f"step-{call_id}",
        kind="step",
        name="research",
        target="researcher",
        team="newsroom",
        attempt=2,
        input={"q": 1},
        idempotency_key=f"s/{call_id}",
        deadline_at=deadline_at,
        outcome_to=ORCHESTRATOR,
        observed_by=BREAKER,
    )


class Worker:
    """A shard of the machine that leads, with what it asked for and sent."""

    def __init__(self, *, member: str = "m", **settings: int) -> None:
        self.machine = WorkerMachine("agent.x", member, 3, WorkerSettings(**settings))
        self.shard: Shard[WorkerState] = Shard(self.machine, member)
        self.shard.observe(0, Claim(member, 0, -1, -1))
        self.requests: list[object] = []

    @property
    def state(self) -> WorkerState:
        return self.shard.state

    def tell(self, *messages: object, now: int = 10) -> list[str]:
        """Decide messages and return the names of the events."""
        events: list[str] = []
        for message in messages:
            entry = self.shard.decide(Received(message), now)
            if entry is not None:
                events += [type(event).__name__ for event in entry.events]
                self._commit()
        return events

    def _commit(self) -> None:
        self.requests += [local.request for local in self.shard.commit(self.shard.next_offset, 1)]

    def runs(self) -> list[tuple[str, int]]:
        """Return which handlers were asked for, with their runs."""
        found = [r for r in self.requests if isinstance(r, RunHandler)]
        return [(request.call.call_id, request.run) for request in found]

    def outcomes(self, to: Address = ORCHESTRATOR) -> list[Outcome]:
        """Return what was sent there."""
        return [p.send.message for p in self.shard.pending if _goes_to(p, to)]  # type: ignore[misc]


def _goes_to(pending: Pending, to: Address) -> bool:
    return (pending.send.topic, pending.send.partition) == (to.topic, to.partition)


# -- running ------------------------------------------------------------------------------------


def test_a_call_starts_at_once_while_there_is_room() -> None:
    worker = Worker(concurrency=1)
    assert worker.tell(call("a")) == ["CallAccepted", "CallStarted"]
    assert worker.requests == [RunHandler(replace(call("a"), sent_at=10), 1, {})]
    assert worker.tell(call("b")) == ["CallAccepted"]
    assert worker.state.running == 1


def test_whoever_limits_the_wait_is_told_of_each_beginning_and_a_late_one_is_refused() -> None:
    worker = Worker(concurrency=1)
    worker.tell(replace(call("a"), start_by=50), replace(call("b"), start_by=50), now=10)
    assert [type(p.send.message) for p in worker.shard.pending] == [CallProgress]
    worker.tell(HandlerSucceeded("a", 1, None), now=50)
    assert [(o.call_id, o.status) for o in worker.outcomes() if isinstance(o, Outcome)] == [
        ("a", "succeeded"),
        ("b", "refused"),
    ]
    assert worker.runs() == [("a", 1)]


def test_a_run_again_may_begin_later_than_the_first() -> None:
    worker = Worker()
    worker.tell(replace(call("a"), start_by=50))
    assert worker.tell(Led("n", 9), now=60) == ["CallStarted"]
    assert len(worker.shard.pending) == 2


def test_signs_of_life_are_passed_on_as_often_as_they_are_needed() -> None:
    worker = Worker()
    worker.tell(replace(call("a"), heartbeat_ms=300), now=0)
    told = [worker.tell(ReportProgress("a", 1), now=now) for now in (50, 100, 150, 199, 200)]
    assert told == [[], ["CallProgressed"], [], [], ["CallProgressed"]]
    progress = CallProgress("a", "s", "step-a")
    assert [p.send.message for p in worker.shard.pending] == [progress] * 2
    assert worker.tell(ReportProgress("a", 2), ReportProgress("z", 1), now=900) == []


def test_nobody_hears_of_progress_who_does_not_want_to() -> None:
    worker = Worker()
    worker.tell(call("a"))
    assert worker.tell(ReportProgress("a", 1), now=90_000) == []
    assert not worker.shard.pending


def test_what_a_call_spent_goes_with_its_outcome_also_after_a_crash_and_on_failure() -> None:
    worker = Worker()
    worker.tell(call("a"))
    worker.tell(JournalResult("a", 1, "spent/1", {"tokens": 7, "micros": 100}))
    worker.tell(JournalResult("a", 1, "spent/1#1", "a call of that name"))
    worker.tell(Led("n", 9))
    worker.tell(JournalResult("a", 2, "spent/2", {"tokens": 1, "micros": None}))
    worker.tell(HandlerFailed("a", 2, FAILURE))
    (outcome,) = [o for o in worker.outcomes() if isinstance(o, Outcome)]
    assert outcome.usage == Usage(8, 100, 1)
    (copy,) = worker.outcomes(BREAKER)
    assert copy.usage is None


def test_those_who_wait_start_in_order_of_arrival() -> None:
    worker = Worker(concurrency=2)
    worker.tell(*(call(name) for name in "abcde"))
    worker.tell(HandlerSucceeded("b", 1, None), HandlerFailed("a", 1, FAILURE))
    worker.tell(HandlerSucceeded("d", 1, None))
    assert worker.runs() == [("a", 1), ("b", 1), ("c", 1), ("d", 1), ("e", 1)]
    assert not worker.state.waiting


def test_success_goes_to_the_orchestrator_and_without_the_result_to_the_breaker() -> None:
    worker = Worker()
    worker.tell(call("a"), now=100)
    worker.tell(HandlerSucceeded("a", 1, {"pages": 3}), now=140)
    (outcome,) = worker.outcomes()
    assert outcome == Outcome(
        call_id="a",
        saga_id="s",
        step_id="step-a",
        kind="step",
        target="researcher",
        attempt=2,
        status="succeeded",
        result={"pages": 3},
        member="m",
        partition=3,
        runs=1,
        duration_ms=40,
    )
    assert worker.outcomes(BREAKER) == [replace(outcome, result=None)]
    assert worker.state == WorkerState(ended=1)


def test_failure_says_why_to_both() -> None:
    worker = Worker()
    worker.tell(call("a"), HandlerFailed("a", 1, FAILURE))
    for address in (ORCHESTRATOR, BREAKER):
        (outcome,) = worker.outcomes(address)
        assert (outcome.status, outcome.failure, outcome.result) == ("failed", FAILURE, None)


def test_without_a_breaker_the_outcome_goes_to_the_orchestrator_only() -> None:
    worker = Worker()
    worker.tell(replace(call("a"), observed_by=None), HandlerSucceeded("a", 1, 1))
    assert len(worker.shard.pending) == 1


def test_a_call_that_is_open_is_not_accepted_again() -> None:
    worker = Worker(concurrency=1)
    assert worker.tell(call("a"), call("b"), call("a"), call("b")) == [
        "CallAccepted",
        "CallStarted",
        "CallAccepted",
    ]


@pytest.mark.parametrize(
    "late",
    [
        HandlerSucceeded("a", 1, "late"),
        HandlerFailed("a", 1, FAILURE),
        JournalResult("a", 1, "k", "late"),
        CancelCall("a", "s", "researcher"),
        HandlerSucceeded("never heard of", 1, 0),
    ],
)
def test_what_comes_after_the_end_changes_nothing(late: object) -> None:
    worker = Worker()
    worker.tell(call("a"), HandlerSucceeded("a", 1, "first"))
    before = list(worker.shard.pending)
    assert worker.tell(late) == []
    assert list(worker.shard.pending) == before


# -- cancelling ---------------------------------------------------------------------------------


def test_a_waiting_call_that_is_cancelled_ends_and_never_starts() -> None:
    worker = Worker(concurrency=1)
    worker.tell(call("a"), call("b"), call("c"))
    assert worker.tell(CancelCall("b", "s", "researcher")) == ["CallEnded"]
    worker.tell(HandlerSucceeded("a", 1, None))
    assert worker.runs() == [("a", 1), ("c", 1)]
    (cancelled, _) = worker.outcomes()
    assert cancelled.failure == Failure("cancelled", "cancelled before it started", retryable=False)
    assert cancelled.runs == 0


def test_a_running_call_that_is_cancelled_is_stopped_once_and_answers_for_itself() -> None:
    worker = Worker()
    worker.tell(call("a"))
    cancel = CancelCall("a", "s", "researcher")
    assert worker.tell(cancel, cancel) == ["CallStopRequested"]
    assert worker.requests[1:] == [StopHandler("a")]
    assert not worker.outcomes()
    worker.tell(HandlerSucceeded("a", 1, "was quicker"))
    assert worker.outcomes()[0].result == "was quicker"


def test_a_call_that_was_told_to_stop_is_not_run_again_after_a_fail_over() -> None:
    worker = Worker()
    worker.tell(call("a"), CancelCall("a", "s", "researcher"))
    assert worker.tell(Led("m", 9)) == ["CallEnded"]
    (outcome,) = worker.outcomes()
    assert outcome.failure is not None
    assert (outcome.failure.kind, outcome.failure.retryable, outcome.runs) == (
        "cancelled",
        False,
        1,
    )


# -- deadlines and limits -----------------------------------------------------------------------


def test_a_call_that_comes_after_its_deadline_ends_unstarted() -> None:
    worker = Worker()
    assert worker.tell(call("a", deadline_at=50), now=50) == ["CallAccepted", "CallEnded"]
    (outcome,) = worker.outcomes()
    assert outcome.failure == Failure("timed-out", "its deadline passed before its turn came")
    assert not worker.runs()


@pytest.mark.parametrize("sent_at", [1, 3_600_000])
def test_a_call_has_its_time_whatever_its_senders_clock(sent_at: int) -> None:
    worker = Worker(concurrency=1)
    sent = replace(call("a", deadline_at=sent_at + 500), sent_at=sent_at)
    worker.tell(sent, replace(sent, call_id="b", start_by=sent_at + 100), now=1_000)
    (begun,) = worker.requests
    assert isinstance(begun, RunHandler)
    assert (begun.call.sent_at, begun.call.deadline_at) == (1_000, 1_500)
    worker.tell(Led("n", 9), now=1_499)
    assert worker.runs() == [("a", 1), ("a", 2)]
    worker.tell(HandlerSucceeded("a", 2, None), now=1_499)
    assert [outcome.status for outcome in worker.outcomes()] == ["succeeded", "refused"]
    worker.tell(replace(sent, call_id="c"), now=1_499)
    assert worker.tell(Led("m", 9), now=1_999) == ["CallEnded"]


def test_who_is_too_late_at_its_turn_gives_the_turn_to_the_next() -> None:
    worker = Worker(concurrency=1)
    worker.tell(call("a"), call("b", deadline_at=50), call("c"), call("d"))
    assert worker.tell(HandlerSucceeded("a", 1, None), now=60) == [
        "CallEnded",
        "CallEnded",
        "CallStarted",
    ]
    assert worker.runs() == [("a", 1), ("c", 1)]


def test_a_run_cut_off_by_a_crash_after_its_deadline_still_counts_as_a_run() -> None:
    worker = Worker()
    worker.tell(call("a", deadline_at=50))
    worker.tell(Led("m", 9), now=60)
    (outcome,) = worker.outcomes()
    assert outcome.runs == 1
    assert outcome.failure == Failure("timed-out", "its deadline passed while its worker was down")


def test_many_who_are_too_late_end_in_bounded_decisions_and_nobody_waits_for_ever() -> None:
    worker = Worker(concurrency=1)
    count = 2 * TOO_LATE_MAX + 7
    worker.tell(call("a"))
    worker.tell(*(call(f"late-{n}", deadline_at=50) for n in range(count)), call("last"))
    assert worker.shard.due() is None
    sizes = [len(worker.tell(HandlerSucceeded("a", 1, None), now=60))]
    for _ in range(2):
        assert worker.shard.due() == 0
        worker.tell(call(f"new-{len(sizes)}"), now=60)
        sizes.append(len(worker.tell(Tick(), now=60)))
    assert sizes == [TOO_LATE_MAX + 1, TOO_LATE_MAX, 7 + 1]
    assert worker.shard.due() is None
    assert worker.runs() == [("a", 1), ("last", 1)]


def test_a_worker_with_too_many_open_calls_refuses_the_next_and_says_so() -> None:
    worker = Worker(concurrency=1, open_calls_max=2)
    assert worker.tell(call("a"), call("b"), call("c"))[-2:] == ["CallAccepted", "CallEnded"]
    (outcome,) = worker.outcomes()
    assert (outcome.call_id, outcome.status) == ("c", "refused")
    assert outcome.failure == Failure("overloaded", "2 calls are open on this worker")
    assert set(worker.state.calls) == {"a", "b"}
    assert worker.shard.due() is None


def test_what_it_does_not_take_becomes_a_dead_letter() -> None:
    worker = Worker()
    with pytest.raises(Refused, match="a worker takes no int"):
        worker.machine.decide(worker.state, 7, 0)
    worker.shard.decide(Received(Undecodable("not-json", ""), "in", 4), 0)
    worker.shard.commit(1, 1)
    assert [pending.send.topic for pending in worker.shard.pending] == [DEAD_LETTERS]


# -- journal and fail-over ----------------------------------------------------------------------


def test_a_later_run_gets_what_earlier_runs_journaled() -> None:
    worker = Worker()
    worker.tell(call("a"), JournalResult("a", 1, "search#1", ["x"]))
    worker.tell(Led("m", 9), JournalResult("a", 2, "search#2", None))
    worker.tell(Led("m", 12))
    begun = replace(call("a"), sent_at=10)
    assert worker.requests == [
        RunHandler(begun, 1, {}),
        RunHandler(begun, 2, {"search#1": ["x"]}),
        RunHandler(begun, 3, {"search#1": ["x"], "search#2": None}),
    ]
    assert worker.state.running == 1


def test_a_key_is_journaled_once() -> None:
    worker = Worker()
    worker.tell(call("a"), JournalResult("a", 1, "k", 1))
    assert worker.tell(JournalResult("a", 1, "k", 2)) == []
    assert worker.state.calls["a"].journal == {"k": 1}


def test_a_handler_journals_no_more_than_the_limit() -> None:
    worker = Worker(journal_keys_max=1)
    worker.tell(call("a"), JournalResult("a", 1, "k1", 1))
    with pytest.raises(Refused, match="journal-full: a journaled 1 results, which is the limit"):
        worker.tell(JournalResult("a", 1, "k2", 2))
    assert worker.tell(JournalResult("a", 1, "k1", 1)) == []


@pytest.mark.parametrize(
    "answer",
    [
        HandlerSucceeded("a", 1, "stale"),
        HandlerFailed("a", 1, FAILURE),
        JournalResult("a", 1, "k", "stale"),
    ],
)
def test_an_earlier_run_may_not_answer_for_a_later_one(answer: object) -> None:
    worker = Worker()
    worker.tell(call("a"), Led("m", 9))
    assert worker.tell(answer) == []
    assert worker.tell(HandlerSucceeded("a", 2, "current")) == ["CallEnded"]
    assert worker.outcomes()[0].runs == 2


def test_a_new_leader_runs_what_ran_and_starts_what_waited_if_it_has_room() -> None:
    worker = Worker(concurrency=1)
    worker.tell(call("a"), call("b"))
    assert worker.tell(Led("m", 9)) == ["CallStarted"]
    larger = WorkerMachine("agent.x", "n", 3, WorkerSettings(concurrency=2))
    events = larger.decide(worker.state, Led("n", 12), 10)
    assert [(e.call_id, e.run, e.member) for e in events] == [("a", 3, "n"), ("b", 1, "n")]  # type: ignore[attr-defined]


def test_an_idle_worker_has_nothing_to_say_to_a_new_leader() -> None:
    assert Worker().tell(Led("m", 9), Tick()) == []


def named(call_id: str) -> dict[str, object]:
    return {"call_id": call_id, "saga_id": "s", "step_id": f"step-{call_id}"}


def test_it_describes_what_is_open() -> None:
    worker = Worker(concurrency=1)
    worker.tell(call("a"), call("b"), JournalResult("a", 1, "k", 1))
    assert describe(worker.state) == {
        "running": 1,
        "ended": 0,
        "calls": [
            named("a") | {"run": 1, "journaled": 1, "asks": []},
            named("b") | {"run": 0, "journaled": 0, "asks": []},
        ],
    }


def test_local_requests_are_made_for_committed_entries_only() -> None:
    worker = Worker()
    entry = worker.shard.decide(Received(call("a")), 10)
    assert entry is not None
    assert not worker.requests
    assert worker.shard.commit(1, 1) == [Local(RunHandler(replace(call("a"), sent_at=10), 1, {}))]
