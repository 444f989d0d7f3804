"""Drives a saga machine as its leader would, and plays the teams and workers around it."""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from folkmoot.core.kernel import Received, Send, Shard, Tick
from folkmoot.core.messages import (
    TASK_RESULTS,
    Budget,
    Call,
    CancelCall,
    Failure,
    Outcome,
    Task,
    TaskResult,
    TeamFormed,
    Usage,
    inbox,
)
from folkmoot.core.saga import SagaMachine, SagaSettings, SagaState

TEAM = "newsroom"


def step(step_id: str, *needs: str, **fields: Any) -> dict[str, Any]:
    """Return a planned step as the SDK writes it."""
    return {
        "id": step_id,
        "name": step_id,
        "agent": "worker",
        "input": None,
        "needs": list(needs),
        "compensable": True,
        "timeout_ms": 1_000,
        "retry": {"attempts": 1, "initial_ms": 10, "factor": 2.0, "cap_ms": 100},
    } | fields


class Driver:
    """One orchestrator shard, its clock, and everything that it has sent."""

    def __init__(
        self, settings: SagaSettings | None = None, teams: Sequence[str] = (TEAM,)
    ) -> None:
        self.shard: Shard[SagaState] = Shard(SagaMachine(settings or SagaSettings(), 0), "a")
        self.shard.observe(0, self.shard.claim(0))
        self.log: list[Any] = []
        self.now = 1_000
        self.calls: list[Call] = []
        self.cancels: list[CancelCall] = []
        self.results: list[TaskResult] = []
        self.sent: list[Send] = []
        self.own: deque[object] = deque()
        """What the shard has sent to itself, and not read yet."""
        for team in teams:
            self.give(TeamFormed(team))

    @property
    def state(self) -> SagaState:
        return self.shard.state

    def give(self, message: object) -> list[Any]:
        """Have the leader decide one input, and then what it sends to itself; all the events."""
        events = self._give(message)
        while self.own:
            events += self._give(self.own.popleft())
        return events

    def _give(self, message: object) -> list[Any]:
        entry = self.shard.decide(Received(message), self.now)
        if entry is None:
            return []
        self.shard.commit(self.shard.next_offset, 1)
        self.log.append(entry)
        self._deliver()
        return list(entry.events)

    def _deliver(self) -> None:
        for pending in self.shard.pending:
            self.sent.append(pending.send)
            message = pending.send.message
            if isinstance(message, Call):
                self.calls.append(message)
            elif isinstance(message, CancelCall):
                self.cancels.append(message)
            elif isinstance(message, TaskResult):
                assert pending.send.topic == TASK_RESULTS
                self.results.append(message)
            elif pending.send.topic == inbox("saga-orchestrator"):
                self.own.append(message)
        self.shard.acknowledge(self.shard.next_offset)

    def submit(self, saga_id: str = "s1", team: str = TEAM, budget: Budget | None = None) -> None:
        self.give(Task(team, {"q": 1}, saga_id, budget=budget))

    def open_with(self, *steps: dict[str, Any], saga_id: str = "s1") -> list[Any]:
        """Submit a task and answer its plan."""
        self.submit(saga_id)
        return self.succeed("plan", list(steps), saga_id=saga_id)

    def call(self, step_id: str, *, undo: bool = False, saga_id: str = "s1") -> Call:
        """Return the latest call of a step."""
        kind = "compensate" if undo else None
        return next(
            call
            for call in reversed(self.calls)
            if (call.saga_id, call.step_id) == (saga_id, step_id)
            and (call.kind == "compensate") == (kind is not None)
        )

    def succeed(
        self, step_id: str, result: Any = None, *, undo: bool = False, saga_id: str = "s1"
    ) -> list[Any]:
        return self.give(outcome(self.call(step_id, undo=undo, saga_id=saga_id), result=result))

    def fail(
        self,
        step_id: str,
        failure: Failure = Failure("broken", "it broke", retryable=False),  # noqa: B008
        *,
        undo: bool = False,
        status: str = "failed",
        saga_id: str = "s1",
    ) -> list[Any]:
        call = self.call(step_id, undo=undo, saga_id=saga_id)
        return self.give(outcome(call, status=status, failure=failure))

    def spend(self, call: Call, usage: Usage) -> list[Any]:
        """Have a call succeed that used something up."""
        return self.give(replace(outcome(call), usage=usage))

    def pass_time(self, ms: int) -> None:
        """Let time pass, deciding each timer when it is due."""
        end = self.now + ms
        while (due := self.shard.due()) is not None and due <= end:
            self.now = max(self.now, due)
            assert self.give(Tick()), "a timer that was due decided nothing"
        self.now = end

    def replayed(self) -> SagaState:
        """Return the state that the log gives to somebody who only reads it."""
        fresh: Shard[SagaState] = Shard(SagaMachine(SagaSettings(), 0), "b")
        fresh.observe(0, self.shard.claim(0))
        fresh.leadership.term, fresh.leadership.holder = 0, "a"
        for offset, entry in enumerate(self.log, 1):
            fresh.observe(offset, entry)
        return fresh.state


def outcome(
    call: Call, *, status: Any = "succeeded", result: Any = None, failure: Any = None
) -> Outcome:
    """Return the answer to a call."""
    return Outcome(
        call.call_id,
        call.saga_id,
        call.step_id,
        call.kind,
        call.target,
        call.attempt,
        status,
        result,
        failure,
        "m1",
        0,
        1,
        5,
    )
