"""Runs the users' functions: what turns a `RunHandler` into `HandlerSucceeded` or `HandlerFailed`.

Invariants:

- A handler is entered only for a committed `CallStarted`, and its outcome is what the machine is
  told, once.
- When this member no longer leads the shard, its handlers are stopped and tell nobody.
- What a handler did to shared knowledge is durable before its success is reported.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import math
from collections.abc import Awaitable, Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Protocol

import orjson
from pydantic import TypeAdapter, ValidationError

from folkmoot.agent_worker.tracing import RunTracing
from folkmoot.bus.blobs import BlobMissing, BlobSpoilt, BlobsUnavailable, BlobTooLarge
from folkmoot.contracts.envelope import MESSAGE_BYTES_MAX
from folkmoot.core.kernel import Refused
from folkmoot.core.messages import Call, Failure, Json, shift_ms
from folkmoot.core.worker import (
    AskQuestion,
    DeliverAnswer,
    HandlerFailed,
    HandlerSucceeded,
    JournalResult,
    ReportProgress,
    RunHandler,
    StopHandler,
)
from folkmoot.runtime.clock import Clock
from folkmoot.runtime.seat import NotLeading
from folkmoot.runtime.tracing import Tracing
from folkmoot.sdk.agent import StepDefinition, Team, fit
from folkmoot.sdk.claims import Claims, NoBlobStore
from folkmoot.sdk.context import Context, LeaderContext, StepContext
from folkmoot.sdk.errors import (
    DefinitionError,
    InvalidInput,
    NotAnswered,
    Permanent,
    Retryable,
    UnknownDefinition,
)
from folkmoot.sdk.planning import aggregate, plan
from folkmoot.sdk.steps import to_json

RESULT_BYTES_MAX = MESSAGE_BYTES_MAX - 16 * 1024
"""A result travels in a message of its own; the rest is for the message's other fields."""

DETAIL_CHARS_MAX = 2_000
"""Of an exception's text in a failure: enough to understand it, no place for a dump."""

NO_STORE = Claims()

logger = logging.getLogger("folkmoot.agent")

Submit = Callable[[object], Awaitable[None]]


class KnowledgeSource(Protocol):
    """Where a handler's `ctx.knowledge` comes from."""

    def bound(self, *, saga: str, actor: str) -> Any:
        """Return the knowledge as one step sees it."""
        ...

    async def flush(self) -> None:
        """Return when everything done so far is durable."""
        ...


@dataclass(frozen=True, slots=True)
class Host:
    """What the runner needs to know of the member that it runs in."""

    team: Team
    knowledge: KnowledgeSource
    clock: Clock
    report: Callable[[Call, str], Awaitable[None]]
    tracing: Tracing | None = None
    claims: Claims = field(default_factory=Claims)

    def run_tracing(self, request: RunHandler) -> RunTracing:
        """Return the span of one run."""
        return RunTracing(self.tracing, self.clock, request.call, request.run)


class _StepJournal:
    """The journal of one run: what earlier runs left, and what this one adds."""

    def __init__(
        self, request: RunHandler, submit: Submit, answers: _Answers, claims: Claims
    ) -> None:
        self._request, self._submit, self._answers = request, submit, answers
        self._claims = claims

    async def ask(self, key: str, prompt: str, schema: Json, wait_ms: int, signal: str) -> Json:
        """Return the answer when there is one; the time until then is not the handler's."""
        if key in self._request.journal:
            return self._request.journal[key]
        call = self._request.call
        arrival = self._answers.expect(key)
        asked = (call.call_id, self._request.run, key, prompt, schema, wait_ms, signal)
        try:
            await self._submit(AskQuestion(*asked))
        except Refused as refusal:
            raise Permanent(refusal.detail) from refusal
        with self._answers.clock_stopped():
            answer = await arrival
        return await self._claims.resolved(answer)

    def get(self, key: str) -> tuple[bool, Json]:
        return key in self._request.journal, self._request.journal.get(key)

    async def put(self, key: str, value: Json) -> None:
        request = self._request
        await _recordable(key, "the name of a call", NO_STORE)
        recorded = await _recordable(value, f"the result of {key}", self._claims)
        try:
            await self._submit(JournalResult(request.call.call_id, request.run, key, recorded))
        except Refused as refusal:
            raise Permanent(refusal.detail) from refusal


class _Answers:
    """The answers that one running handler waits for, and its clock, which waits with it."""

    def __init__(self) -> None:
        self.limit: asyncio.Timeout | None = None
        self._expected: dict[str, asyncio.Future[Json]] = {}
        self._waiting = 0
        self._left_s = 0.0

    def expect(self, key: str) -> asyncio.Future[Json]:
        """Return where the answer will be, or is already."""
        return self._expected.setdefault(key, asyncio.get_running_loop().create_future())

    def deliver(self, key: str, value: Json) -> None:
        """Give the handler what it asks, or is going to ask."""
        arrival = self.expect(key)
        if not arrival.done():
            arrival.set_result(value)

    @contextlib.contextmanager
    def clock_stopped(self) -> Iterator[None]:
        """Let no time pass for the handler."""
        loop, limit = asyncio.get_running_loop(), self.limit
        if self._waiting == 0 and limit is not None and (when := limit.when()) is not None:
            self._left_s = when - loop.time()
            limit.reschedule(None)
        self._waiting += 1
        try:
            yield
        finally:
            self._waiting -= 1
            if self._waiting == 0 and limit is not None and not limit.expired():
                limit.reschedule(loop.time() + self._left_s)


class Runner:
    """Runs the handlers of one shard while this member leads it."""

    def __init__(self, host: Host, submit: Submit, epoch: Callable[[], int]) -> None:
        self._host, self._submit, self._epoch = host, submit, epoch
        self._tasks: dict[str, asyncio.Task[None]] = {}
        self._stopped: set[asyncio.Task[None]] = set()
        self._answers: dict[str, _Answers] = {}

    @property
    def running(self) -> int:
        """How many handlers have not ended."""
        return len(self._tasks)

    def perform(self, request: object) -> None:
        """Act on a local request of the worker's machine."""
        if isinstance(request, RunHandler):
            self._start(request)
        elif isinstance(request, StopHandler) and request.call_id in self._tasks:
            self._stop(request.call_id)
        elif isinstance(request, DeliverAnswer) and request.call_id in self._answers:
            self._answers[request.call_id].deliver(request.key, request.value)

    def _stop(self, call_id: str) -> None:
        """Cancel after the task's first step: one that never began could not say how it ended."""
        task = self._tasks[call_id]
        self._stopped.add(task)
        asyncio.get_running_loop().call_soon(task.cancel)

    def _start(self, request: RunHandler) -> None:
        call_id = request.call.call_id
        self._answers[call_id] = _Answers()
        task = asyncio.get_running_loop().create_task(self._run(request))
        self._tasks[call_id] = task
        task.add_done_callback(lambda done: self._forget(call_id, done))

    def _forget(self, call_id: str, task: asyncio.Task[None]) -> None:
        self._stopped.discard(task)
        if self._tasks.get(call_id) is task:
            del self._tasks[call_id], self._answers[call_id]
        if not task.cancelled() and (error := task.exception()) is not None:
            logger.error("running %s broke", call_id, exc_info=error)

    def abandon(self) -> None:
        """Stop every handler and report nothing: somebody else leads now."""
        for task in list(self._tasks.values()):
            task.cancel()

    async def _run(self, request: RunHandler) -> None:
        message = await self._outcome(request)
        try:
            await self._submit(message)
        except NotLeading:
            logger.info("%s ended here, but is led elsewhere now", request.call.call_id)

    async def _outcome(self, request: RunHandler) -> HandlerSucceeded | HandlerFailed:
        call, run = request.call, request.run
        if asyncio.current_task() in self._stopped:
            return HandlerFailed(call.call_id, run, _cancelled("before it began"))
        try:
            patience_s = (self._deadline_at(call) - self._host.clock.now()) / 1000
            async with asyncio.timeout(patience_s) as limit:
                self._answers[call.call_id].limit = limit
                result = await self._invoke(request)
            return HandlerSucceeded(call.call_id, run, result)
        except asyncio.CancelledError as error:
            if not _is_being_cancelled():
                failure = _failure(error, timed_out=False)
            elif asyncio.current_task() in self._stopped:
                failure = _cancelled("while it ran")
            else:
                raise
        except (Exception, SystemExit) as error:  # what a user's function raises is its outcome
            failure = _failure(error, timed_out=limit.expired())
        return HandlerFailed(call.call_id, run, failure)

    def _deadline_at(self, call: Call) -> int:
        """Return when it must end by this member's own clock, which its log's may be ahead of."""
        return call.deadline_at + shift_ms(call, self._host.clock.now())

    async def _invoke(self, request: RunHandler) -> Json:
        traced, claims = self._host.run_tracing(request), self._host.claims
        with traced.running():
            made = await self._handle(await _given(request, claims), traced)
            if request.call.kind == "plan":
                made = await claims.packed_plan(made)
            result = await _recordable(made, "the result", claims)
        await self._host.knowledge.flush()
        return result

    async def _handle(self, request: RunHandler, traced: RunTracing) -> object:
        call, team = request.call, self._host.team
        if call.kind == "plan":
            leading = self._context(LeaderContext, request, traced)
            return await plan(team, leading, call.input, call.name)
        if call.kind == "aggregate":
            leading = self._context(LeaderContext, request, traced)
            return await aggregate(team, leading, call.recorded)
        definition = self._definition(call)
        context = self._context(StepContext, request, traced)
        if call.kind == "compensate":
            await _compensate(definition, context, call)
            return None
        step_input = fit(definition.input, call.input, "the input")
        return _fitting(definition.output, await definition.handler(context, step_input))

    def _definition(self, call: Call) -> StepDefinition:
        agent = self._host.team.agents.get(call.target)
        if agent is None or call.name not in agent.steps:
            known = ", ".join(sorted(agent.steps)) if agent else "none"
            raise DefinitionError(
                f"agent {call.target!r} has no step {call.name!r} here (it has: {known}); "
                "do all members run the same version?"
            )
        return agent.steps[call.name]

    def _context(self, cls: type[Context], request: RunHandler, traced: RunTracing) -> Context:
        call = request.call

        async def report(text: str) -> None:
            await self._host.report(call, text)
            if call.heartbeat_ms:
                await self._submit(ReportProgress(call.call_id, request.run))

        return cls(
            replace(call, deadline_at=self._deadline_at(call)),
            request.run,
            self._epoch(),
            _StepJournal(request, self._submit, self._answers[call.call_id], self._host.claims),
            self._host.knowledge.bound(saga=call.saga_id, actor=call.idempotency_key),
            report,
            calling=traced.calling,
        )


async def _compensate(definition: StepDefinition, context: Context, call: Call) -> None:
    if definition.compensation is None:
        return
    step_input = fit(definition.input, call.input, "the input")
    done = None if call.in_doubt else fit(definition.output, call.recorded, "the recorded result")
    await definition.compensation(context, step_input, done)


class _InvalidResult(Exception):
    """A step returned what its annotation does not say."""


def _fitting(output: TypeAdapter[Any], result: object) -> object:
    try:
        return output.validate_python(result)
    except ValidationError as error:
        raise _InvalidResult(f"the result does not fit its annotation: {error}") from error


async def _given(request: RunHandler, claims: Claims) -> RunHandler:
    """Return a request with what its claims stand for; itself if it has none."""
    call = request.call
    values = (call.input, call.recorded, request.journal)
    found = (
        await claims.resolved(call.input),
        await claims.resolved(call.recorded),
        await claims.resolved(request.journal),
    )
    if all(value is before for value, before in zip(found, values, strict=True)):
        return request
    step_input, recorded, journal = found
    given = replace(call, input=step_input, recorded=recorded)
    return replace(request, call=given, journal=journal)


async def _recordable(value: object, what: str, claims: Claims) -> Json:
    """Return `value` as the JSON values that every reader of the log will see.

    Raises:
        Permanent: it is too large, or holds what JSON cannot.
        BlobError: it belongs into a blob store, which does not take it.
    """
    try:
        encoded = orjson.dumps(to_json(value))
    except (TypeError, ValueError) as error:
        raise Permanent(f"{what} cannot be written as JSON: {error}") from error
    canonical = orjson.loads(encoded)
    packed = await claims.packed(canonical, len(encoded))
    size = len(encoded) if packed is canonical else len(orjson.dumps(packed))
    if size > RESULT_BYTES_MAX:
        raise Permanent(
            f"{what} has {size:,} bytes, the limit is {RESULT_BYTES_MAX:,}: "
            "store it elsewhere and return a reference, or configure a blob store (FOLKMOOT_BLOBS)"
        )
    return packed


def _cancelled(when: str) -> Failure:
    return Failure("cancelled", f"cancelled {when}", retryable=False)


def _is_being_cancelled() -> bool:
    """Return whether this task was told to end, and did not just run into a cancelled future."""
    task = asyncio.current_task()
    return task is not None and task.cancelling() > 0


FAILURES: Sequence[tuple[type[BaseException], str, bool]] = (
    (InvalidInput, "invalid-input", False),
    (NotAnswered, "not-answered", False),
    (Permanent, "permanent", False),
    (BlobMissing, "blob-missing", False),
    (BlobSpoilt, "blob-spoilt", False),
    (BlobTooLarge, "too-large", False),
    (NoBlobStore, "no-blob-store", False),
    (BlobsUnavailable, "blobs-unavailable", True),
    (UnknownDefinition, "unknown-definition", False),
    (DefinitionError, "definition", False),
    (_InvalidResult, "invalid-result", True),
    (Retryable, "retryable", True),
)
"""The kind of a failure by its exception, and whether trying again may help. For all others it may,
and the kind is the name of their class."""


def _failure(error: BaseException, *, timed_out: bool) -> Failure:
    if timed_out and isinstance(error, TimeoutError):
        return Failure("timed-out", "it did not end before its deadline")
    for cls, kind, retryable in FAILURES:
        if isinstance(error, cls):
            return Failure(kind, _detail(error), retryable, _retry_after_ms(error))
    return Failure(type(error).__name__, _detail(error))


def _detail(error: BaseException) -> str:
    """Return what an exception says, or its name; it may not be fit to be written, or to ask."""
    try:
        said = str(error)[:DETAIL_CHARS_MAX]
    except Exception as problem:
        said = f"it cannot say why: {type(problem).__name__} in its __str__"
    return said.encode("utf-8", "replace").decode() or type(error).__name__


def _retry_after_ms(error: BaseException) -> int | None:
    after_s = error.after_s if isinstance(error, Retryable) else None
    return round(after_s * 1000) if after_s is not None and 0 <= after_s < math.inf else None
