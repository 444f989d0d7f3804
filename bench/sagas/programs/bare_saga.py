"""What the roles of the bare loop decide: the least that a saga of each shape needs.

State is dicts, nothing is checked, nothing is ever late, lost or repeated. `whole` has the hops and
records of Folkmoot: the team plans, each call passes the breaker, and the worker records what it
begins and how it ends. Without, an orchestrator that knows the plan calls the worker directly and
the worker records nothing, which is the shortest saga that there is on Kafka.
"""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

Message = dict[str, Any]
Decided = tuple[list[Message], list[tuple[str, Message]]]
"""Events for the log, and messages with the role that each is for."""

Role = Callable[[Message], Decided]
PLANS = {"three": ["add"] * 3, "undo": ["reserve"] * 4 + ["refuse"]}


def planned(shape: str, width: int) -> list[str]:
    """Return the names of the steps."""
    return ["add"] * width if shape == "wide" else PLANS[shape]


@dataclass(slots=True)
class Saga:
    """An open saga: its task, its steps, what is done, and how many answers it waits for."""

    task: Message
    steps: Sequence[str] = ()
    done: dict[str, Any] = field(default_factory=dict)
    waits_for: int = 0


class Orchestrator:
    """Decides what is next."""

    def __init__(self, whole: bool) -> None:
        self._whole = whole
        self._sagas: dict[str, Saga] = {}

    def decide(self, message: Message) -> Decided:
        """Take a task or an outcome."""
        if message["kind"] == "task":
            return self._begin(message)
        saga = self._sagas[message["saga_id"]]
        if message["kind"] == "plan":
            return self._planned(saga, message["result"])
        if message["kind"] == "compensate":
            return self._undo(saga, {"undone": message["step_id"]})
        return self._stepped(saga, message)

    def _begin(self, task: Message) -> Decided:
        saga = self._sagas[task["saga_id"]] = Saga(task)
        if not self._whole:
            return self._planned(saga, planned(task["shape"], task["width"]))
        return [{"accepted": task}], [("team", self._call(saga, "plan", "", "plan", task))]

    def _planned(self, saga: Saga, steps: Sequence[str]) -> Decided:
        saga.steps = steps
        first = range(len(steps)) if saga.task["shape"] == "wide" else range(1)
        saga.waits_for = len(first)
        calls = [self._step(saga, place) for place in first]
        return [{"planned": steps}, *({"scheduled": c["call_id"]} for _, c in calls)], calls

    def _step(self, saga: Saga, place: int) -> tuple[str, Message]:
        name, n = saga.steps[place], saga.task["n"] + place
        call = self._call(saga, "step", f"s{place}", name, n)
        return ("breaker" if self._whole else "agent"), call

    def _stepped(self, saga: Saga, outcome: Message) -> Decided:
        if outcome["status"] == "failed":
            return self._undo(saga, {"failed": outcome["step_id"]})
        saga.done[outcome["step_id"]] = outcome["result"]
        saga.waits_for -= 1
        event = {"succeeded": outcome["step_id"], "result": outcome["result"]}
        if saga.waits_for:
            return [event], []
        if len(saga.done) < len(saga.steps):
            saga.waits_for = 1
            to, call = self._step(saga, len(saga.done))
            return [event, {"scheduled": call["call_id"]}], [(to, call)]
        events, effects = self._ended(saga, "completed", dict(saga.done))
        return [event, *events], effects

    def _undo(self, saga: Saga, event: Message) -> Decided:
        if not saga.done:
            events, effects = self._ended(saga, "compensated", None)
            return [event, *events], effects
        step_id, result = saga.done.popitem()
        n = saga.task["n"] + int(step_id[1:])
        call = self._call(saga, "compensate", step_id, "reserve", n, result)
        to = "breaker" if self._whole else "agent"
        return [event, {"undoing": call["call_id"]}], [(to, call)]

    def _ended(self, saga: Saga, state: str, result: Any) -> Decided:
        saga_id = saga.task["saga_id"]
        del self._sagas[saga_id]
        ended = {"saga_id": saga_id, "team": "bench", "state": state, "result": result}
        return [ended], [("results", ended)]

    def _call(
        self, saga: Saga, kind: str, step_id: str, name: str, given: Any, recorded: Any = None
    ) -> Message:
        saga_id = saga.task["saga_id"]
        least = {
            "call_id": f"{saga_id}/{kind}/{step_id}",
            "saga_id": saga_id,
            "step_id": step_id,
            "kind": kind,
            "name": name,
            "input": given,
            "recorded": recorded,
        }
        return least | CALL_HAS_TOO if self._whole else least


CALL_HAS_TOO: Message = {
    "target": "bench",
    "team": "bench",
    "attempt": 1,
    "idempotency_key": "0123456789abcdef0123/s0/step",
    "deadline_at": 1_800_000_000_000,
    "outcome_to": {"topic": "folkmoot.saga-orchestrator.inbox", "partition": 0},
    "in_doubt": False,
    "observed_by": {"topic": "folkmoot.breaker-proxy.inbox", "partition": 0},
    "traceparent": None,
    "start_by": 0,
    "heartbeat_ms": 0,
}
OUTCOME_HAS_TOO: Message = {
    "target": "bench",
    "attempt": 1,
    "failure": None,
    "member": "member-1-12345-abcdef",
    "partition": 0,
    "runs": 1,
    "duration_ms": 0,
    "usage": None,
}
"""What else a call and its outcome carry in Folkmoot, so that records are of about its size."""


def relay(message: Message) -> Decided:
    """Decide as the breaker: let every call through, and note every end."""
    if "status" in message:
        return [{"ended": message["call_id"]}], []
    return [{"admitted": message["call_id"], "partition": 0}], [("agent", message)]


def work(call: Message, whole: bool) -> Message:
    """Run a call, and return its outcome."""
    name, given = call["name"], call["input"]
    result: Any = None
    if name == "plan":
        result = planned(given["shape"], given["width"])
    elif call["kind"] == "step":
        result = given + 1
    least = {key: call[key] for key in ("call_id", "saga_id", "step_id", "kind")}
    least |= {"status": "failed" if name == "refuse" else "succeeded", "result": result}
    return least | OUTCOME_HAS_TOO if whole else least


def rehearse(task: Message, whole: bool) -> tuple[Counter[str], Message]:
    """Run a saga in memory; return how many messages each role gets, and how the saga ends."""
    orchestrator, got = Orchestrator(whole), Counter[str]()
    waiting = deque([("orchestrator", task)])
    while waiting:
        to, message = waiting.popleft()
        got[to] += 1
        if to == "results":
            ended = message
        elif to == "orchestrator":
            waiting += orchestrator.decide(message)[1]
        elif to == "breaker":
            waiting += relay(message)[1]
        else:
            outcome = work(message, whole)
            waiting += [("orchestrator", outcome)]
            waiting += [("breaker", outcome)] if whole and to == "agent" else []
    return got, ended
