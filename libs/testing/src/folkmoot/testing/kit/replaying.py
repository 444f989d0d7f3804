"""Runs a recorded saga again with today's code, and says what comes out otherwise.

The saga is given the same task on a mesh of its own. Journaled calls, answers and signals come from
the recording, so that nothing in the world is touched; attempts that failed fail again as they did.
Everything else is today's code: its plan, its steps' results, the outcome. Where it calls what was
not called then, the recording ends, and what would come after is not compared.
"""

from __future__ import annotations

import functools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from folkmoot.contracts.codec import decode_data
from folkmoot.core.forks import Fork
from folkmoot.core.messages import Task
from folkmoot.core.saga.events import SagaOpened
from folkmoot.core.saga.forking import written
from folkmoot.core.saga.plan_events import PlanRecorded
from folkmoot.sdk.agent import Agent, Handler
from folkmoot.sdk.context import Context, Journal
from folkmoot.sdk.errors import Permanent, Retryable
from folkmoot.testing.kit.history import History
from folkmoot.testing.kit.mesh import TestMesh
from folkmoot.testing.kit.script import rewired

Json = Any
Place = tuple[str, str]
"""A step and what is done about it: plan, step, compensate or aggregate."""

SHOWN_CHARS_MAX = 200

FOR_EVER_S = 400 * 24 * 3600.0
"""Of virtual time, in which a saga ends or goes on for ever."""


@dataclass(frozen=True, slots=True)
class Difference:
    """Something that today's code does otherwise. `where` is a step, `plan` or `outcome`."""

    where: str
    recorded: Json
    today: Json

    def __str__(self) -> str:
        return f"{self.where}: recorded {_shown(self.recorded)}, today {_shown(self.today)}"


def _shown(value: Json) -> str:
    text = repr(value)
    return text if len(text) <= SHOWN_CHARS_MAX else f"{text[: SHOWN_CHARS_MAX - 1]}…"


async def replay(recorded: History, agents: Sequence[Agent]) -> list[Difference]:
    """Run the saga of a recording again, on virtual time, and return what differs.

    Raises:
        AssertionError: the recording does not have the saga's beginning and end.
    """
    assert recorded.of("saga-opened"), f"the recording has no beginning of saga {recorded.saga_id}"
    assert recorded.state != "open", f"saga {recorded.saga_id} had not ended when it was recorded"
    player = _Player(recorded)
    async with TestMesh(*(rewired(agent, player.played) for agent in agents)) as mesh:
        saga = await mesh.client.begin(_task(recorded), "replayed")
        await mesh.until(lambda: player.lost or mesh.history(saga).state != "open", FOR_EVER_S)
        today = mesh.history(saga)
    ends = [] if player.lost else [Difference("outcome", recorded.state, today.state)]
    ends += [] if player.lost else [Difference("result", _result(recorded), _result(today))]
    return [*player.lost, *(d for d in [*ends, *_steps(recorded, today)] if d.recorded != d.today)]


def _task(recorded: History) -> Task:
    """Return what the saga was given: a plan too, if its task had brought one."""
    opened = decode_data(SagaOpened, recorded.of("saga-opened")[0].data)
    assert isinstance(opened, SagaOpened)
    task = Task(opened.team, opened.input, budget=opened.budget, definition=opened.definition)
    planned = recorded.of("plan-recorded")
    if not planned or recorded.of("step-scheduled", step_id="plan"):
        return task
    plan = decode_data(PlanRecorded, planned[0].data)
    assert isinstance(plan, PlanRecorded)
    carried = recorded.of("results-carried-over")
    results = carried[0].data["results"] if carried else {}
    return replace(
        task,
        plan={
            "steps": [written(step) for step in plan.steps],
            "max_parallel": plan.max_parallel,
            "result": plan.result,
        },
        fork=Fork(opened.forked_from, opened.forked_at, results) if carried else None,
    )


def _steps(recorded: History, today: History) -> list[Difference]:
    found = [
        Difference(f"plan of {step_id}", recorded.plan.get(step_id), today.plan.get(step_id))
        for step_id in {**recorded.plan, **today.plan}
    ]
    before, now = _results(recorded), _results(today)
    found += [
        Difference(f"result of {step_id}", before[step_id], now[step_id])
        for step_id in before
        if step_id in now
    ]
    return found


def _result(history: History) -> Json:
    completed = history.of("saga-completed")
    return completed[0].data["result"] if completed else None


def _results(history: History) -> Mapping[str, Json]:
    succeeded = history.of("step-succeeded")
    return {event.data["step_id"]: event.data["result"] for event in succeeded}


class _Player:
    """Gives handlers what the recording has for them."""

    def __init__(self, recorded: History) -> None:
        self.lost: list[Difference] = []
        """Calls that the recording does not have: what comes after is not to be compared."""
        kinds = {event.data["call_id"]: event.data for event in recorded.of("call-started")}
        self._journals: dict[Place, dict[str, Json]] = {}
        for event in recorded.of("call-journaled", "call-answered"):
            call, data = kinds[event.data["call_id"]], event.data
            value = data["value"]
            if event.type == "call-answered":
                value = {"answered": data["answered"], "value": value}
            journal = self._journals.setdefault((call["step_id"], call["kind"]), {})
            journal[data["key"]] = value
        self._failures = {
            (event.data["step_id"], event.data["attempt"]): event.data["failure"]
            for event in recorded.of("step-retry-scheduled", "step-failed")
        }

    def played(self, handler: Handler, _step: str, _undo: bool) -> Handler:
        """Return a function that runs `handler` with what the recording has for it."""

        @functools.wraps(handler)
        async def played(ctx: Context, *args: Any) -> Any:
            call = ctx.call_info
            failure = self._failures.get((call.step_id, call.attempt))
            if failure is not None and call.kind != "compensate":
                cls = Retryable if failure["retryable"] else Permanent
                raise cls(failure["detail"])
            recorded = self._journals.get((call.step_id, call.kind), {})
            ctx.journal = _RecordedJournal(ctx.journal, recorded, call.step_id, self.lost)
            return await handler(ctx, *args)

        return played


class _RecordedJournal:
    """The journal of a handler: what was recorded, and nothing new."""

    def __init__(
        self,
        journal: Journal,
        recorded: Mapping[str, Json],
        step_id: str,
        lost: list[Difference],
    ) -> None:
        self._journal, self._recorded, self._step_id = journal, recorded, step_id
        self._lost = lost

    def get(self, key: str) -> tuple[bool, Json]:
        """Return what was recorded, and refuse a call that was not made then."""
        if key not in self._recorded:
            self._miss(key)
        return True, self._recorded[key]

    async def put(self, key: str, value: Json) -> None:
        """Keep it as usual; nothing comes here that was recorded."""
        await self._journal.put(key, value)

    async def ask(self, key: str, prompt: str, schema: Json, wait_ms: int, signal: str) -> Json:
        """Return what was answered."""
        if key not in self._recorded:
            self._miss(key)
        return self._recorded[key]

    def _miss(self, key: str) -> None:
        self._lost.append(Difference(f"calls of {self._step_id}", None, key))
        raise Permanent(f"{self._step_id} calls {key!r}, which the recording does not have")
