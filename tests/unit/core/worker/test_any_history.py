"""Whatever happens in whatever order: a call ends once, slots are kept, a replay is equal."""

from __future__ import annotations

from collections import Counter

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from folkmoot.core.kernel import Led, LogRecord, Received, Shard, Tick
from folkmoot.core.messages import Address, Call, CancelCall, Failure, Outcome
from folkmoot.core.worker import (
    HandlerFailed,
    HandlerSucceeded,
    JournalResult,
    RunHandler,
    WorkerMachine,
    WorkerSettings,
    WorkerState,
)

CONCURRENCY = 2
NAMES = st.integers(0, 9).map("call-{}".format)


def shard(member: str) -> Shard[WorkerState]:
    limits = WorkerSettings(concurrency=CONCURRENCY, open_calls_max=6, journal_keys_max=100)
    return Shard(WorkerMachine("agent.x", member, 0, limits), member)


class WorkerHistory(RuleBasedStateMachine):
    """A worker that takes calls, crashes, and is led by one member after another."""

    def __init__(self) -> None:
        super().__init__()
        self.log: list[LogRecord] = []
        self.now = 0
        self.terms = 0
        self.accepted: list[str] = []
        self.ended: Counter[str] = Counter()
        self.alive: dict[str, int] = {}
        self.journals: dict[str, dict[str, int]] = {}
        self.leader = self._elect()

    # -- the driver -----------------------------------------------------------------------------

    def _elect(self) -> Shard[WorkerState]:
        self.terms += 1
        fresh = shard(f"member-{self.terms}")
        for offset, record in enumerate(self.log):
            fresh.observe(offset, record)
        self.log.append(fresh.claim(self.now))
        fresh.observe(len(self.log) - 1, self.log[-1])
        assert fresh.leads
        return fresh

    def _tell(self, message: object) -> None:
        before = len(self.leader.pending)
        entry = self.leader.decide(Received(message), self.now)
        if entry is None:
            return
        self.log.append(entry)
        for local in self.leader.commit(len(self.log) - 1, 1):
            if isinstance(local.request, RunHandler):
                self._run(local.request)
        for pending in list(self.leader.pending)[before:]:
            assert isinstance(pending.send.message, Outcome)
            self.ended[pending.send.message.call_id] += 1
            self.alive.pop(pending.send.message.call_id, None)

    def _run(self, request: RunHandler) -> None:
        call_id = request.call.call_id
        assert request.journal == self.journals.setdefault(call_id, {})
        assert request.run == self.alive.get(call_id, 0) + 1
        self.alive[call_id] = request.run

    # -- what may happen ------------------------------------------------------------------------

    @rule(name=NAMES, patience=st.integers(0, 30))
    def call(self, name: str, patience: int) -> None:
        call_id = f"{name}-{len(self.accepted)}"
        self.accepted.append(call_id)
        to = Address("folkmoot.saga-orchestrator.inbox", 0)
        deadline_at = self.now + patience
        self._tell(Call(call_id, "s", name, "step", name, "x", "t", 1, None, name, deadline_at, to))

    @precondition(lambda self: self.accepted)
    @rule(data=st.data(), run=st.integers(1, 3), kind=st.integers(0, 3))
    def answer(self, data: st.DataObject, run: int, kind: int) -> None:
        call_id = data.draw(st.sampled_from(self.accepted))
        if kind == 0:
            self._tell(HandlerSucceeded(call_id, run, None))
        elif kind == 1:
            self._tell(HandlerFailed(call_id, run, Failure("x", "y")))
        elif kind == 2:
            self._tell(CancelCall(call_id, "s", "x"))
        else:
            self._journal(call_id, run, key=data.draw(st.sampled_from("kl")))

    def _journal(self, call_id: str, run: int, key: str) -> None:
        if self.alive.get(call_id) == run:
            self.journals[call_id].setdefault(key, self.now)
        self._tell(JournalResult(call_id, run, key, self.now))

    @rule(duration=st.integers(1, 20))
    def time_passes(self, duration: int) -> None:
        self.now += duration

    @rule()
    def tick(self) -> None:
        self._tell(Tick())

    @rule()
    def leader_crashes(self) -> None:
        state = self.leader.state
        self.leader = self._elect()
        assert self.leader.state == state
        sent = list(self.leader.pending)
        self._tell(Led(self.leader.member, self.leader.leadership.term))
        assert list(self.leader.pending)[: len(sent)] == sent

    # -- what always holds ----------------------------------------------------------------------

    @invariant()
    def slots_are_kept(self) -> None:
        assert self.leader.state.running == len(self.alive) <= CONCURRENCY

    @invariant()
    def who_waits_has_a_reason(self) -> None:
        waiting = [call.call.call_id for call in self.leader.state.waiting_calls()]
        assert waiting == sorted(waiting, key=self.accepted.index)
        if waiting and self.leader.due() is None:
            assert self.leader.state.running == CONCURRENCY

    @invariant()
    def every_call_is_open_or_has_ended_once(self) -> None:
        open_calls = set(self.leader.state.calls)
        assert open_calls | set(self.ended) == set(self.accepted)
        assert not open_calls & set(self.ended)
        assert set(self.ended.values()) <= {1}

    def teardown(self) -> None:
        for _ in self.accepted:
            for call_id, run in list(self.alive.items()):
                self._tell(HandlerSucceeded(call_id, run, None))
        assert self.ended == Counter(self.accepted)
        assert not self.leader.state.waiting


WorkerHistory.TestCase.settings = settings(max_examples=60, stateful_step_count=40, deadline=None)
test_any_history = WorkerHistory.TestCase
