"""What agents act upon: a world outside that remembers what was done and undone in it.

It is what a step's effect should be in real life: guarded by an idempotency key, so that doing it
again does nothing, and that nothing is done under a key that was undone.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, field
from random import Random
from typing import Any

from folkmoot.core.messages import Json
from folkmoot.sdk.agent import Agent
from folkmoot.sdk.context import LeaderContext, StepContext
from folkmoot.sdk.errors import Permanent
from folkmoot.sdk.steps import Limit, Retry, Step, SubSaga
from folkmoot.testing.simulation.evidence import Act
from folkmoot.testing.simulation.loop import SimulatedLoop

TEAM, AGENT = "crew", "hand"
STEPS_MAX, NESTED_SHARE = 4, 0.25
STEP_TIMEOUT_S = 1.0
"""Shorter than clocks disagree here: no deadline may be compared by another's clock."""

RETRY = Retry(attempts=3, initial_s=0.05, cap_s=0.3)
LIMIT, LIMIT_PERIOD_S = "tool", 0.5


@dataclass
class Outside:
    """The world outside. `acts` is everything that took effect, in order."""

    seed: int
    acts: list[Act]
    nested: bool = False
    limits: Sequence[Limit] = ()
    _done: set[tuple[str, str]] = field(default_factory=set)
    _undone: set[tuple[str, str]] = field(default_factory=set)

    def random(self, *of: str) -> Random:
        """Return randomness that only depends on the seed and on what it is for."""
        return Random("/".join((str(self.seed), *of)))  # noqa: S311, nothing here is secret

    def task(self, key: str) -> list[dict[str, Json]]:
        """Return a task: what to do, after what, and whether it goes well.

        A step with `sub` is a saga of its own, whose task that is.
        """
        steps = self._steps(key)
        for step in steps if self.nested else ():
            if self.random(key, step["id"]).random() < NESTED_SHARE:
                step["sub"] = self._steps(f"{key}/{step['id']}")
        return steps

    def _steps(self, key: str) -> list[dict[str, Json]]:
        random = self.random(key)
        steps: list[dict[str, Json]] = []
        for number in range(random.randint(1, STEPS_MAX)):
            needs = [step["id"] for step in steps if random.random() < 0.5]
            fate = random.choices(("done", "fails-first", "fails"), (14, 3, 2))[0]
            takes_ms = random.choice((0, 5, 50, 300))
            steps.append({"id": f"s{number}", "needs": needs, "fate": fate, "ms": takes_ms})
        return steps

    def do(self, saga_id: str, step_id: str, member: str) -> None:
        """Take effect, unless it has been done or undone under this key."""
        if (saga_id, step_id) in self._undone:
            raise Permanent("this was undone")
        if (saga_id, step_id) not in self._done:
            self._done.add((saga_id, step_id))
            self.acts.append(Act("do", saga_id, step_id, member))

    def undo(self, saga_id: str, step_id: str, member: str) -> None:
        """Take the effect back, if there is one, and let there be none under this key."""
        if (saga_id, step_id) not in self._undone:
            self._undone.add((saga_id, step_id))
            if (saga_id, step_id) in self._done:
                self.acts.append(Act("undo", saga_id, step_id, member))

    def agent(self, loop: SimulatedLoop, member: str) -> Agent:
        """Return the agent that a member hosts."""
        agent = Agent(AGENT, TEAM, partitions=1, limits=self.limits)
        limit = LIMIT if self.limits else None
        step = agent.step("act", timeout_s=STEP_TIMEOUT_S, retry=RETRY, limit=limit)

        async def plan(ctx: LeaderContext, task: list[dict[str, Any]]) -> list[Step]:
            return [_step(each) for each in task]

        async def act(ctx: StepContext, what: dict[str, Any]) -> str:
            await asyncio.sleep(what["ms"] / 1000)
            if what["fate"] == "fails" or (what["fate"] == "fails-first" and ctx.attempt == 1):
                raise RuntimeError(what["fate"])
            if not loop.over:
                self.do(ctx.saga_id, ctx.step_id, member)
            await asyncio.sleep(what["ms"] / 1000)
            return ctx.step_id

        async def unact(ctx: StepContext, what: dict[str, Any], done: str | None) -> None:
            await asyncio.sleep(what["ms"] / 1000)
            if not loop.over:
                self.undo(ctx.saga_id, ctx.step_id, member)

        async def aggregate(ctx: LeaderContext, results: dict[str, Any]) -> list[str]:
            return sorted(results)

        agent.plan(plan)
        step(act).compensate(unact)
        agent.aggregate(aggregate)
        return agent


def limits_of(at_once: int, starts: int) -> Sequence[Limit]:
    """Return the limits of an agent, none if neither number is one."""
    if not at_once and not starts:
        return ()
    return (Limit(LIMIT, at_once or None, starts or None, LIMIT_PERIOD_S if starts else None),)


def _step(task: dict[str, Any]) -> Step:
    if "sub" in task:
        return SubSaga("plan", task["sub"], id=task["id"], needs=task["needs"])
    return Step("act", task, id=task["id"], needs=task["needs"])
