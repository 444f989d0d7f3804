"""Agents: decorated async functions, and nothing that happens at import.

Types come from annotations: the second parameter of a step says what it takes, its return
annotation what it gives. Both are checked at both ends, and a function without them is refused
where it is defined.
"""

from __future__ import annotations

import inspect
import re
import typing
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any, TypeVar, overload

from pydantic import TypeAdapter, ValidationError

from folkmoot.core import shares
from folkmoot.core.breaker.limits import LIMITS_MAX
from folkmoot.core.saga.plan import ROLES
from folkmoot.core.saga.plan_events import Role
from folkmoot.sdk.errors import DefinitionError, InvalidInput, UnknownDefinition
from folkmoot.sdk.steps import Limit, Plan, Retry, Step

Handler = Callable[..., Awaitable[Any]]
Definition = TypeVar("Definition", bound=Callable[..., Any] | Sequence[Step] | Plan)

NAME = re.compile(r"[a-z0-9][a-z0-9-]{0,62}")
"""Names of agents and teams: they are part of topic names and subjects."""

DEFAULT_RETRY = Retry()
DEFAULT_DEFINITION = "plan"
"""Names what a team runs if a task does not say which saga: its `plan` hook, if it has one."""

CONCURRENCY_MAX = 1_000
STEP_TIMEOUT_S_MAX = 7 * 24 * 3600


def _annotations(function: Handler, expected: int, shape: str) -> tuple[list[Any], Any]:
    """Return the types of the parameters after the context, and of the result."""
    if not inspect.iscoroutinefunction(function):
        where = f"{function.__module__}.{function.__qualname__}"
        raise DefinitionError(f"{where} must be an async function: {shape}")
    (_, *accepts), gives = _typed(function, expected + 1, shape, untyped=1)
    return accepts, gives


def _typed(
    function: Callable[..., Any], expected: int, shape: str, untyped: int = 0
) -> tuple[list[Any], Any]:
    """Return the types of the parameters, of which the first `untyped` need none, and result."""
    where = f"{function.__module__}.{function.__qualname__}"
    parameters = list(inspect.signature(function).parameters.values())
    if len(parameters) != expected:
        raise DefinitionError(f"{where} takes {len(parameters)} parameters; expected {shape}")
    try:
        hints = typing.get_type_hints(function)
    except (AttributeError, NameError, SyntaxError, TypeError) as error:
        raise DefinitionError(f"{where}: {error}; define the type at the top of a module") from None
    missing = [p.name for p in parameters[untyped:] if p.name not in hints]
    if "return" not in hints:
        missing.append("return")
    if missing:
        raise DefinitionError(
            f"{where} has no type annotation for {', '.join(missing)}; expected {shape}"
        )
    return [hints.get(p.name) for p in parameters], hints["return"]


def _given(step: Step, task: Any) -> Step:
    """Return a step with the task as its input, if it has none and needs one."""
    return replace(step, input=task) if step.input is None and step.each is None else step


def fit(adapter: TypeAdapter[Any], value: Any, what: str) -> Any:
    """Return `value`, JSON values, as the type that a handler asks for.

    Raises:
        InvalidInput: it is something else.
    """
    try:
        return adapter.validate_python(value)
    except ValidationError as error:
        raise InvalidInput(f"{what} does not fit its annotation: {error}") from error


@dataclass
class StepDefinition:
    """A step of an agent, as made by `@agent.step(...)`. Calling it calls the function."""

    name: str
    handler: Handler
    timeout_s: float
    retry: Retry
    role: Role = "ordinary"
    queue_timeout_s: float | None = None
    heartbeat_s: float | None = None
    compensation: Handler | None = None
    limit: str | None = None

    def __post_init__(self) -> None:
        shape = "async def step(ctx, input: Input) -> Output"
        (self._input,), self._output = _annotations(self.handler, 1, shape)

    async def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """Call the function itself, for tests."""
        return await self.handler(*args, **kwargs)

    @cached_property
    def input(self) -> TypeAdapter[Any]:
        """What the step takes."""
        return TypeAdapter(self._input)

    @cached_property
    def output(self) -> TypeAdapter[Any]:
        """What the step gives."""
        return TypeAdapter(self._output)

    def compensate(self, handler: Handler) -> Handler:
        """Register what undoes the step: `async def undo(ctx, input, done) -> None`.

        `done` is what the step returned, or None if it is not known whether it took effect. An
        undo runs until it succeeds, so it must be safe to repeat.
        """
        if self.role == "pivot":
            raise DefinitionError(f"step {self.name!r} is a pivot: it cannot be undone")
        if self.compensation is not None:
            raise DefinitionError(f"step {self.name!r} has two compensations")
        _annotations(handler, 2, "async def undo(ctx, input: Input, done: Output | None) -> None")
        self.compensation = handler
        return handler


@dataclass(frozen=True)
class Planner:
    """How sagas of a team are planned: its `plan` hook, or one of its definitions."""

    hook: Handler
    accepts: Any

    @cached_property
    def input(self) -> TypeAdapter[Any]:
        """What the planner takes."""
        return TypeAdapter(self.accepts)


@dataclass
class Agent:
    """One kind of worker in a team.

    Args:
        name: its name, which is also that of its topics.
        team: whom it works with; the team's elected leader plans.
        concurrency: handlers at a time on each of its partitions.
        partitions: how many members can work for it at a time.
        limits: what its steps may do together, whoever runs them; steps name theirs.
    """

    name: str
    team: str
    concurrency: int = 4
    partitions: int = 3
    limits: Sequence[Limit] = ()
    steps: dict[str, StepDefinition] = field(default_factory=dict, init=False)
    planners: dict[str, Planner] = field(default_factory=dict, init=False)
    aggregate_hook: Handler | None = field(default=None, init=False)

    def __post_init__(self) -> None:
        for kind, name in (("agent", self.name), ("team", self.team)):
            if not NAME.fullmatch(name):
                raise DefinitionError(
                    f"{name!r} is no name for a{'n' * (kind == 'agent')} {kind}: use up to 63 "
                    "lower-case letters, digits and hyphens"
                )
        if not 1 <= self.concurrency <= CONCURRENCY_MAX:
            raise DefinitionError(f"concurrency must be from 1 to {CONCURRENCY_MAX}")
        if self.partitions < 1:
            raise DefinitionError("partitions must be at least 1")
        names = [limit.to_core(()).name for limit in self.limits]
        if len({*names}) < len(names) or len(names) > LIMITS_MAX:
            raise DefinitionError(
                f"agent {self.name!r} has {len(names)} limits: give it at most {LIMITS_MAX}, and "
                "each a name of its own"
            )

    def step(
        self,
        name: str,
        *,
        timeout_s: float = 60,
        retry: Retry = DEFAULT_RETRY,
        role: Role = "ordinary",
        queue_timeout_s: float | None = None,
        heartbeat_s: float | None = None,
        limit: str | None = None,
    ) -> Callable[[Handler], StepDefinition]:
        """Make an async function a step that plans can name.

        Args:
            name: what plans call it.
            timeout_s: for one attempt, from when it is sent to a worker to its answer.
            retry: how often it is attempted, and how long to wait in between.
            role: `pivot` is the point of no return: when it has succeeded, the saga only goes
                forward, and what fails is tried until it succeeds. `retriable` never fails for
                good. A pivot that raises says that it did not take effect.
            queue_timeout_s: how long an attempt may wait for a worker to begin it.
            heartbeat_s: how often it must call `ctx.progress`; silent for longer, it is given up.
            limit: the name of one of the agent's limits, for which it and its compensation count.
        """
        times = {"timeout_s": timeout_s, "queue_timeout_s": queue_timeout_s}
        for what, value in (times | {"heartbeat_s": heartbeat_s}).items():
            if value is not None and not 0 < value <= STEP_TIMEOUT_S_MAX:
                raise DefinitionError(f"step {name!r}: {what} must be over 0 and at most a week")
        if role not in ROLES:
            raise DefinitionError(f"step {name!r}: role must be one of: {', '.join(ROLES)}")
        if limit is not None and limit not in [each.name for each in self.limits]:
            raise DefinitionError(
                f"step {name!r}: agent {self.name!r} has no limit {limit!r}; declare it with "
                "Agent(limits=[Limit(...)])"
            )
        if name in self.steps:
            raise DefinitionError(f"agent {self.name!r} has two steps called {name!r}")

        def register(handler: Handler) -> StepDefinition:
            self.steps[name] = StepDefinition(
                name, handler, timeout_s, retry, role, queue_timeout_s, heartbeat_s, limit=limit
            )
            return self.steps[name]

        return register

    def core_limits(self) -> tuple[shares.Limit, ...]:
        """Return the limits that are in use, as the breaker's machine reads them."""
        limited = {
            limit: [step.name for step in self.steps.values() if step.limit == limit.name]
            for limit in self.limits
        }
        return tuple(limit.to_core(steps) for limit, steps in limited.items() if steps)

    def plan(self, handler: Handler) -> Handler:
        """Make an async function the team's planner; the elected leader runs it."""
        (accepts,), _ = _annotations(handler, 1, "async def plan(ctx, task: Task) -> list[Step]")
        self._set_plan(DEFAULT_DEFINITION, handler, accepts)
        return handler

    @overload
    def saga(self, definition: Definition, *, name: str = DEFAULT_DEFINITION) -> Definition: ...
    @overload
    def saga(self, *, name: str) -> Callable[[Definition], Definition]: ...
    def saga(self, definition: Any = None, *, name: str = DEFAULT_DEFINITION) -> Any:
        """Define what the team does once and for all: steps, or a function that builds them.

        The function takes the task and does nothing else than to build steps. Of a list, a step
        without an input gets the task. Either becomes the same recorded plan that a `plan` hook
        makes, so that a new version never changes a saga that runs. A team may have several
        definitions; `submit` names one, or gets the one without a name.
        """
        if definition is None:
            return lambda given: self.saga(given, name=name)
        if not NAME.fullmatch(name):
            raise DefinitionError(
                f"{name!r} is no name for a saga: use up to 63 lower-case letters, digits and "
                "hyphens"
            )
        if callable(definition):
            self._build_with(name, definition)
        else:
            self._fill(name, definition)
        return definition

    def _fill(self, name: str, given: Any) -> None:
        steps = given.steps if isinstance(given, Plan) else given
        if not all(isinstance(step, Step) for step in steps):
            raise DefinitionError(f"the saga of agent {self.name!r} is no list of Step")

        async def plan(_ctx: Any, task: Any) -> Any:
            filled = [_given(step, task) for step in steps]
            return replace(given, steps=filled) if isinstance(given, Plan) else filled

        self._set_plan(name, plan, Any)

    def _build_with(self, name: str, build: Callable[..., Any]) -> None:
        shape = "def saga(task: Task) -> list[Step]"
        if inspect.iscoroutinefunction(build):
            raise DefinitionError(f"{build.__qualname__} is async; expected {shape}")
        (accepts,), _ = _typed(build, 1, shape)

        async def plan(_ctx: Any, task: Any) -> Any:
            return build(task)

        self._set_plan(name, plan, accepts)

    def _set_plan(self, name: str, hook: Handler, accepts: Any) -> None:
        if name in self.planners:
            called = "plan hooks" if name == DEFAULT_DEFINITION else f"sagas called {name!r}"
            raise DefinitionError(f"agent {self.name!r} has two {called}")
        self.planners[name] = Planner(hook, accepts)

    def aggregate(self, handler: Handler) -> Handler:
        """Make an async function the one that turns the steps' results into the task's."""
        if self.aggregate_hook is not None:
            raise DefinitionError(f"agent {self.name!r} has two aggregate hooks")
        _annotations(handler, 1, "async def aggregate(ctx, results: dict[str, Any]) -> Output")
        self.aggregate_hook = handler
        return handler


@dataclass(frozen=True, slots=True)
class Team:
    """The agents of one team that one member hosts."""

    name: str
    agents: Mapping[str, Agent]
    planners: Mapping[str, Planner]
    aggregator: Agent | None

    def planner(self, definition: str) -> Planner | None:
        """Return how a saga by that definition is planned, None if the team never plans.

        Raises:
            UnknownDefinition: the team has no such definition, or not in this version.
        """
        found = self.planners.get(definition)
        if found is None and (self.planners or definition != DEFAULT_DEFINITION):
            names = ", ".join(sorted(self.planners)) or "none"
            raise UnknownDefinition(
                f"team {self.name!r} has no saga {definition!r}; there are: {names}; "
                "does the leader run the version that has it?"
            )
        return found

    def find(self, step: Step) -> tuple[Agent, StepDefinition]:
        """Return the agent and definition of a planned step.

        Raises:
            DefinitionError: no agent has it, or several do and the step does not say which.
        """
        having = [
            agent
            for agent in self.agents.values()
            if step.name in agent.steps and step.agent in (None, agent.name)
        ]
        if len(having) == 1:
            return having[0], having[0].steps[step.name]
        if having:
            names = ", ".join(agent.name for agent in having)
            raise DefinitionError(
                f"step {step.name!r} exists on {names}: say agent=... in the plan"
            )
        raise DefinitionError(self._lack_of(step))

    def _lack_of(self, step: Step) -> str:
        """Return what is wrong with a step that nobody has."""
        if step.agent is not None and step.agent not in self.agents:
            known = ", ".join(sorted(self.agents))
            return f"team {self.name!r} has no agent {step.agent!r}; there are: {known}"
        asked = [self.agents[step.agent]] if step.agent else list(self.agents.values())
        steps = ", ".join(sorted({name for agent in asked for name in agent.steps}))
        who = f"agent {step.agent!r} has no step" if step.agent else "no agent has a step"
        return f"{who} {step.name!r} in team {self.name!r}; there are: {steps}"


def teams(agents: typing.Iterable[Agent]) -> list[Team]:
    """Return `agents` grouped by team.

    Raises:
        DefinitionError: two agents share a name, or two of a team plan or aggregate.
    """
    grouped: dict[str, dict[str, Agent]] = {}
    for agent in agents:
        mates = grouped.setdefault(agent.team, {})
        if any(agent.name in others for others in grouped.values()):
            raise DefinitionError(f"two agents are called {agent.name!r}")
        mates[agent.name] = agent
    return [_team(name, mates) for name, mates in grouped.items()]


def _team(name: str, mates: Mapping[str, Agent]) -> Team:
    planning: dict[str, list[Agent]] = {}
    for agent in mates.values():
        for saga in agent.planners:
            planning.setdefault(saga, []).append(agent)
    aggregators = [agent for agent in mates.values() if agent.aggregate_hook]
    for saga, agents in planning.items():
        _check_alone(name, "plan hooks" if saga == DEFAULT_DEFINITION else f"{saga} sagas", agents)
    _check_alone(name, "aggregate hooks", aggregators)
    planners = {saga: agents[0].planners[saga] for saga, agents in planning.items()}
    return Team(name, mates, planners, aggregators[0] if aggregators else None)


def _check_alone(team: str, what: str, agents: Sequence[Agent]) -> None:
    if len(agents) > 1:
        names = ", ".join(agent.name for agent in agents)
        raise DefinitionError(f"team {team!r} has several {what}: {names}")
