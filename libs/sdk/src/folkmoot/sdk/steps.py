"""A plan's steps, as a leader's `plan` hook returns them."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from pydantic_core import to_jsonable_python

from folkmoot.core import messages, shares
from folkmoot.core.breaker.limits import STARTS_MAX, is_limit
from folkmoot.core.saga.plan_events import Comparison
from folkmoot.sdk.errors import DefinitionError

MICROS = 1_000_000
"""Of which one is a millionth of a dollar: money is counted in whole numbers."""


@dataclass(frozen=True, slots=True)
class Retry:
    """How often a step is attempted, and how long to wait in between.

    The wait grows by `factor` from `initial_s` to `cap_s`, and is then drawn from zero to that
    (full jitter), so that steps that failed together do not come back together. No attempt begins
    later than `total_s` after the first.
    """

    attempts: int = 3
    initial_s: float = 0.2
    factor: float = 2.0
    cap_s: float = 30.0
    total_s: float | None = None

    def __post_init__(self) -> None:
        waits = (self.initial_s, self.cap_s, self.factor - 1, self.total_s or 0)
        if self.attempts < 1 or not all(0 <= wait < math.inf for wait in waits):
            raise DefinitionError(
                f"{self}: attempts and factor must be at least 1, the waits at least 0"
            )

    def to_json(self) -> dict[str, Any]:
        """Return it as the saga machine reads it."""
        return {
            "attempts": self.attempts,
            "initial_ms": round(self.initial_s * 1000),
            "factor": self.factor,
            "cap_ms": round(self.cap_s * 1000),
            "total_ms": limit_ms(self.total_s),
        }


@dataclass(frozen=True, slots=True)
class Limit:
    """What an agent's steps may do together, wherever its members run: `@agent.step(limit=...)`.

    No more than `at_once` of them are with workers at a time, no more than `starts` begin in any
    `per_s`; compensations count as well. With `by_tenant` each tenant has a limit of its own. What
    has to wait has its turn by tenant and priority, and holds up nothing that has no such limit.
    """

    name: str
    at_once: int | None = None
    starts: int | None = None
    per_s: float | None = None
    by_tenant: bool = False

    def to_core(self, steps: Sequence[str]) -> shares.Limit:
        """Return it as the breaker's machine reads it.

        Raises:
            DefinitionError: it says not what it limits, or too much.
        """
        core = shares.Limit(
            self.name,
            tuple(steps),
            self.at_once or 0,
            self.starts or 0,
            limit_ms(self.per_s),
            self.by_tenant,
        )
        if not is_limit(core):
            raise DefinitionError(
                f"{self}: a limit has a name like an agent's, and at_once, or starts (up to "
                f"{STARTS_MAX:,}) and per_s (up to a day), or all three"
            )
        return core


@dataclass(frozen=True, slots=True)
class When:
    """A condition: what `path` leads to in the result of `step` compares so with `value`.

    `op` is one of eq, ne, lt, le, gt, ge, in (`value` holds it) and truthy. What cannot be
    compared does not fulfil it.
    """

    step: str
    path: Sequence[str | int] = ()
    op: Comparison = "truthy"
    value: Any = None

    def to_json(self) -> dict[str, Any]:
        """Return it as the saga machine reads it."""
        value = to_json(self.value)
        return {"step": self.step, "path": list(self.path), "op": self.op, "value": value}


@dataclass(frozen=True, slots=True)
class Step:
    """One step of a plan: run the step called `name` with `input` after those it `needs`.

    With `when` it is omitted if the condition does not hold, and has no result. With `each`, the
    id of a step that returns a list, it is run for each item, and its result is the list of
    results. What these look at is needed as well.

    `id` defaults to `name`, so it must be given where a step is planned more than once. `agent`
    is only needed where several agents of a team have a step of that name.
    """

    name: str
    input: Any = None
    id: str | None = None
    needs: Sequence[str] = ()
    agent: str | None = None
    when: When | None = None
    each: str | None = None

    def __post_init__(self) -> None:
        if isinstance(self.needs, str):
            raise DefinitionError(
                f"step {self.step_id!r}: needs={self.needs!r} is no list; "
                f"write needs=[{self.needs!r}]"
            )

    @property
    def all_needs(self) -> list[str]:
        """Return the ids of the steps that must have ended before it begins."""
        looked_at = [self.when.step] if self.when else []
        looked_at += [self.each] if self.each else []
        return list(dict.fromkeys([*self.needs, *looked_at]))

    @property
    def step_id(self) -> str:
        """Return the id that other steps need it by."""
        return self.id or self.name


@dataclass(frozen=True, slots=True, kw_only=True)
class SubSaga(Step):
    """A step that is a saga of its own: the one called `name` of `team`, or of the same team.

    Its result is the step's. If it fails it has undone itself; when the saga above it turns back,
    or the step takes longer than `timeout_s`, it is undone as a whole. What it uses up counts for
    the budget of the saga above. Its `plan` hook finds the results of the needs in `ctx.results`.
    `name` is `plan` for a team's only saga.
    """

    team: str | None = None
    timeout_s: float = 24 * 3600
    retry: Retry = Retry(1)


@dataclass(frozen=True, slots=True)
class Plan:
    """Steps of which no more than `max_parallel` run at a time."""

    steps: Sequence[Step]
    max_parallel: int


@dataclass(frozen=True, slots=True)
class Budget:
    """What a saga may use up before it is turned back and undone.

    Handlers report tokens and money with `ctx.spend`; hops are steps begun, attempts included. It
    is looked at whenever a step ends, and when `wall_s` have passed; past its pivot a saga only
    goes forward. Spending without a known price exceeds a limit of money, unless it is allowed.
    """

    tokens: int | None = None
    usd: float | None = None
    hops: int | None = None
    wall_s: float | None = None
    unpriced_allowed: bool = False

    def to_core(self) -> messages.Budget:
        """Return it as the saga machine reads it."""
        limits = (self.tokens or 0, round((self.usd or 0) * MICROS), self.hops or 0)
        if min(limits) < 0:
            raise DefinitionError(f"{self}: no limit may be below 0")
        return messages.Budget(*limits, limit_ms(self.wall_s), self.unpriced_allowed)


def limit_ms(limit_s: float | None) -> int:
    """Return a limit as the saga machine reads it: 0 is none, and any other at least 1."""
    return 0 if limit_s is None else max(1, round(limit_s * 1000))


def to_json(value: object) -> Any:
    """Return pydantic models, dataclasses, dates and so on as JSON values.

    JSON has no NaN and no infinities; they become null here, so that who made a value sees what
    those will see who read it.

    Raises:
        ValueError: there is no JSON for it.
    """
    return to_jsonable_python(value, serialize_unknown=False, inf_nan_mode="null")
