"""What a handler is given: who it works for, how to call out, what the team knows.

`ctx.call` is the bridge between a handler, which may do anything, and a log that must be able to
go on after a crash: the result of each call is journaled before the handler sees it, and a later
run of the same handler gets it from the journal instead of calling again.
"""

from __future__ import annotations

import asyncio
import inspect
import logging
import math
import typing
from collections.abc import Awaitable, Callable, Mapping
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field
from typing import Any, Protocol, TypeVar

from pydantic import TypeAdapter, ValidationError

from folkmoot.core.messages import Call, Json
from folkmoot.core.worker import SPENT
from folkmoot.runtime.propagation import current_traceparent
from folkmoot.sdk.errors import InvalidInput, NotAnswered
from folkmoot.sdk.steps import MICROS, to_json

T = TypeVar("T")


class Journal(Protocol):
    """Where journaled results are kept; provided by the worker that runs the handler."""

    def get(self, key: str) -> tuple[bool, Json]:
        """Return whether there is a result under `key`, and the result."""
        ...

    async def put(self, key: str, value: Json) -> None:
        """Return when `value` is durable under `key`."""
        ...

    async def ask(self, key: str, prompt: str, schema: Json, wait_ms: int, signal: str) -> Json:
        """Return `answered` and `value` when what was asked is decided, also by an earlier run."""
        ...


@dataclass
class Context:
    """What every handler can use."""

    call_info: Call
    run: int
    epoch: int
    journal: Journal
    knowledge: Any
    report: Callable[[str], Awaitable[None]]
    log: logging.Logger = field(default_factory=lambda: logging.getLogger("folkmoot.agent"))
    calling: Callable[[str], AbstractContextManager[object]] = nullcontext
    _calls: dict[str, int] = field(default_factory=dict)

    @property
    def saga_id(self) -> str:
        """The saga that this is part of."""
        return self.call_info.saga_id

    @property
    def step_id(self) -> str:
        """The step within the saga."""
        return self.call_info.step_id

    @property
    def attempt(self) -> int:
        """Which attempt this is, from 1. A run repeated after a crash is the same attempt."""
        return self.call_info.attempt

    @property
    def idempotency_key(self) -> str:
        """The same for every attempt and run of this step. Hand it to what must not do it twice."""
        return self.call_info.idempotency_key

    @property
    def deadline_at(self) -> int:
        """When this attempt is given up, in milliseconds since the epoch."""
        return self.call_info.deadline_at

    @property
    def results(self) -> Mapping[str, Json]:
        """The results of the steps that this one needs, by step id, as JSON values."""
        recorded = self.call_info.recorded
        return recorded if isinstance(recorded, dict) else {}

    @property
    def traceparent(self) -> str | None:
        """The W3C header of the span that this runs in, for clients that do not find it there.

        OpenTelemetry's instrumentations do: their spans are children of this one without it.
        """
        return current_traceparent()

    def result(self, step_id: str, cls: type[T]) -> T:
        """Return the result of a needed step as a `cls`."""
        return TypeAdapter(cls).validate_python(self.results[step_id])

    def key(self, name: str) -> str:
        """Return the idempotency key of the next `call` of that name."""
        return f"{self.idempotency_key}/{name}#{self._calls.get(name, 0) + 1}"

    async def call(self, name: str, function: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
        """Call `function` once, even if this handler is run again after a crash.

        The exception is a crash during the call itself: it is then repeated; `key(name)` before
        the call gives the idempotency key that tells the repetition from a second call. Functions
        that are not async run in a thread. The result has the type that `function` declares, or
        is plain JSON values.
        """
        number = self._calls[name] = self._calls.get(name, 0) + 1
        adapter = _result_type(function)
        found, recorded = self.journal.get(f"{name}#{number}")
        if not found:
            with self.calling(f"{name}#{number}"):
                recorded = to_json(await _call(function, args, kwargs))
            await self.journal.put(f"{name}#{number}", recorded)
        return adapter.validate_python(recorded)

    async def ask_human(
        self, prompt: str, cls: type[T], *, deadline_s: float, name: str = "ask"
    ) -> T:
        """Ask a person, and wait for a `cls`, for days if need be, whatever restarts meanwhile.

        The question is seen in the saga's state and answered with `Saga.answer`. The time until
        then is no part of the step's. Another attempt that asks the same gets the same answer. An
        answer that is no `cls` is asked for again.

        Raises:
            NotAnswered: nobody answered within `deadline_s`.
        """
        adapter, said = TypeAdapter(cls), prompt
        while True:
            value = await self._ask(name, said, adapter.json_schema(), deadline_s, "")
            try:
                return adapter.validate_python(value)
            except ValidationError as error:
                first = error.errors(include_url=False, include_input=False)[0]
                said = f"{prompt} (the answer before did not fit: {first['msg']})"

    async def signal(self, name: str, cls: type[T], *, deadline_s: float) -> T:
        """Wait for `Saga.signal(name, …)`, which may have come already, and return its value.

        Raises:
            NotAnswered: none came within `deadline_s`.
            InvalidInput: its value is no `cls`.
        """
        adapter = TypeAdapter(cls)
        value = await self._ask(name, f"signal {name}", adapter.json_schema(), deadline_s, name)
        try:
            return adapter.validate_python(value)
        except ValidationError as error:
            raise InvalidInput(f"the value of signal {name!r} does not fit: {error}") from error

    async def _ask(
        self, name: str, prompt: str, schema: Json, deadline_s: float, signal: str
    ) -> Json:
        counted = f"signal:{name}" if signal else f"ask:{name}"
        number = self._calls[counted] = self._calls.get(counted, 0) + 1
        wait_ms = max(1, round(deadline_s * 1000))
        reply = await self.journal.ask(f"{counted}/{number}", prompt, schema, wait_ms, signal)
        if not reply["answered"]:
            raise NotAnswered(f"nobody answered within {deadline_s:g} s: {prompt}")
        return reply["value"]

    async def spend(self, tokens: int = 0, *, usd: float | None = None) -> None:
        """Count what was used up towards the saga's budget, once, whatever is run again.

        A price that is not known is None, never zero.
        """
        if tokens < 0 or not 0 <= (usd or 0) < math.inf:
            raise ValueError(f"nothing can be given back: tokens={tokens}, usd={usd}")
        number = self._calls[SPENT] = self._calls.get(SPENT, 0) + 1
        if not self.journal.get(f"{SPENT}{number}")[0]:
            micros = None if usd is None else round(usd * MICROS)
            await self.journal.put(f"{SPENT}{number}", {"tokens": tokens, "micros": micros})

    async def progress(self, text: str) -> None:
        """Tell whoever watches how far this is; that may be lost.

        For a step with `heartbeat_s` it is also the sign of life that it must give that often.
        """
        await self.report(text)


async def _call(function: Callable[..., Any], args: Any, kwargs: Any) -> Any:
    if inspect.iscoroutinefunction(function):
        return await function(*args, **kwargs)
    outcome = await asyncio.to_thread(function, *args, **kwargs)
    return await outcome if inspect.isawaitable(outcome) else outcome


def _result_type(function: Callable[..., Any]) -> TypeAdapter[Any]:
    try:
        hints = typing.get_type_hints(function)
    except (AttributeError, NameError, SyntaxError, TypeError):
        hints = {}
    return TypeAdapter(hints.get("return", Any))


class StepContext(Context):
    """What a step or a compensation is given."""


class LeaderContext(Context):
    """What a hook of the elected leader is given; `epoch` is the election's grant."""
