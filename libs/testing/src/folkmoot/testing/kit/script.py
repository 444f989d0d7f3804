"""What a test wants to happen to handlers, and agents whose handlers let it happen.

An agent is never changed: each member hosts copies whose functions look into the script first.
"""

from __future__ import annotations

import asyncio
import copy
import functools
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any

from folkmoot.core.saga.settings import AGGREGATE, PLAN
from folkmoot.sdk.agent import Agent, Handler, StepDefinition

Act = Callable[[str], None]
"""What happens to the handler of a member: it raises, or ends the member, or returns to hang."""


@dataclass
class Cue:
    """When something is to happen: at the next `times` runs of a step, or of its compensation.

    `after`: when the handler has done its work, and its result is not yet told to anybody.
    """

    step: str
    act: Act
    times: int = 1
    undo: bool = False
    after: bool = False
    member: str | None = None

    def fits(self, step: str, undo: bool, member: str) -> bool:
        """Whether it is meant for this run."""
        here = self.member in (None, member)
        return self.times > 0 and (self.step, self.undo) == (step, undo) and here


@dataclass
class Script:
    """Everything that is still to happen, in the order in which it was asked for."""

    cues: list[Cue] = field(default_factory=list)

    def take(self, step: str, undo: bool, member: str) -> Cue | None:
        """Return what happens to the run that begins now."""
        for cue in self.cues:
            if cue.fits(step, undo, member):
                cue.times -= 1
                return cue
        return None

    @property
    def left(self) -> list[str]:
        """What did not happen yet."""
        return [f"{cue.step}: {cue.times} more" for cue in self.cues if cue.times > 0]

    def hosted(self, agent: Agent, member: str) -> Agent:
        """Return a copy of `agent` for `member` to host."""

        def wrap(handler: Handler, step: str, undo: bool) -> Handler:
            return self._scripted(handler, step, undo, member)

        return rewired(agent, wrap)

    def _scripted(self, handler: Handler, step: str, undo: bool, member: str) -> Handler:
        @functools.wraps(handler)
        async def scripted(*args: Any, **kwargs: Any) -> Any:
            cue = self.take(step, undo, member)
            if cue is None:
                return await handler(*args, **kwargs)
            if cue.after:
                await handler(*args, **kwargs)
            cue.act(member)
            return await asyncio.get_running_loop().create_future()

        return scripted


Wrap = Callable[[Handler, str, bool], Handler]
"""Returns what is to run instead of a function: of a step or hook, or undoing that step."""


def rewired(agent: Agent, wrap: Wrap) -> Agent:
    """Return a copy of `agent` that runs something else instead of its functions."""
    made = copy.copy(agent)
    made.steps = {name: _rewired_step(step, wrap) for name, step in agent.steps.items()}
    made.planners = {
        name: replace(planner, hook=wrap(planner.hook, PLAN, False))
        for name, planner in agent.planners.items()
    }
    if agent.aggregate_hook is not None:
        made.aggregate_hook = wrap(agent.aggregate_hook, AGGREGATE, False)
    return made


def _rewired_step(step: StepDefinition, wrap: Wrap) -> StepDefinition:
    undo = step.compensation
    handler = wrap(step.handler, step.name, False)
    return replace(step, handler=handler, compensation=undo and wrap(undo, step.name, True))
