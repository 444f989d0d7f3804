"""The handle on one saga: what became of it, what it is doing, and what is to be done to it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any, TypeVar, overload

from pydantic import TypeAdapter

from folkmoot.core.messages import (
    AnswerQuestion,
    CancelSaga,
    Failure,
    ForceComplete,
    PauseSaga,
    ResumeSaga,
    RetryStep,
    SignalSaga,
    SkipStep,
    TaskResult,
    TerminateSaga,
)
from folkmoot.runtime.service import QueryError
from folkmoot.sdk.errors import NoAnswer, SagaFailed
from folkmoot.sdk.forking import fork_of
from folkmoot.sdk.past import read_history, state_of
from folkmoot.sdk.queries import ask, waits_at_breaker
from folkmoot.sdk.steps import to_json

if TYPE_CHECKING:
    from folkmoot.sdk.client import Client

T = TypeVar("T")

Control = (
    CancelSaga
    | PauseSaga
    | ResumeSaga
    | TerminateSaga
    | RetryStep
    | SkipStep
    | ForceComplete
    | AnswerQuestion
    | SignalSaga
)

EVENTS_POLL_S = 0.05
UNKNOWN_STREAM = "unknown-stream"  # the event store's word for what it has not read yet

_ENDS = frozenset(
    f"folkmoot.{name}.v1"
    for name in (
        "saga-completed",
        "saga-compensated",
        "saga-failed",
        "saga-terminated",
        "task-refused",
    )
)


class Saga:
    """A handle on one saga."""

    def __init__(
        self,
        client: Client,
        saga_id: str,
        partition: int,
        expected: asyncio.Future[TaskResult] | None = None,
    ) -> None:
        self._client, self._expected = client, expected
        self.saga_id, self.partition = saga_id, partition

    @overload
    async def result(self, cls: type[T], timeout_s: float | None = None) -> T: ...
    @overload
    async def result(self, cls: None = None, timeout_s: float | None = None) -> Any: ...
    async def result(self, cls: type[Any] | None = None, timeout_s: float | None = None) -> Any:
        """Wait for the saga's end and return its result, as a `cls` if given.

        Raises:
            BlobError: it is in a blob store, and cannot be had from there.
            SagaFailed: it ended without a result; says in which state, and why.
            TimeoutError: it had not ended after `timeout_s`.
        """
        outcome = await self.outcome(timeout_s)
        if outcome.state != "completed":
            failure = outcome.failure or Failure("unknown", "no reason was recorded")
            raise SagaFailed(self.saga_id, outcome.state, failure.detail, failure)
        return outcome.result if cls is None else TypeAdapter(cls).validate_python(outcome.result)

    async def outcome(self, timeout_s: float | None = None) -> TaskResult:
        """Wait for the saga's end and return how it ended, whichever way that is.

        Raises:
            BlobError: the result is in a blob store, and cannot be had from there.
            TimeoutError: it had not ended after `timeout_s`.
        """
        async with asyncio.timeout(timeout_s):
            outcomes, place = self._client.outcomes, (self.saga_id, self.partition)
            if self._expected is None:
                ended = await outcomes.asked(*place)
            else:
                ended = await outcomes.heard(self._expected, *place)
            result = await self._client.claims.resolved(ended.result)
            return ended if result is ended.result else replace(ended, result=result)

    async def state(self, at: int | None = None) -> Mapping[str, Any]:
        """Return the saga as it is now: its state, steps, attempts and what it waits for.

        With `at`, as it was after that many of its events.

        Raises:
            NoAnswer: the orchestrator, or the event store for the past, does not answer.
            QueryError: it does not know the saga, or not so many of its events.
        """
        if at is not None:
            return state_of(self.saga_id, await read_history(self._client.bus, self.saga_id, at))
        request = {"op": "show", "saga_id": self.saga_id}
        shown: Mapping[str, Any] = await ask(
            self._client.bus, "saga-orchestrator", self.partition, request
        )
        return shown

    async def explain(self) -> str:
        """Return in a sentence why the saga is where it is.

        Raises:
            NoAnswer: the orchestrator does not answer, or does not know it (any more).
        """
        now = self._client.now()
        request = {"op": "explain", "saga_id": self.saga_id, "now": now}
        said = await ask(self._client.bus, "saga-orchestrator", self.partition, request)
        if said is None:
            raise NoAnswer(f"there is no saga {self.saga_id}, or it ended long ago")
        return str(said) + await waits_at_breaker(self._client.bus, self.partition, self.saga_id)

    async def events(self) -> AsyncIterator[Mapping[str, Any]]:
        """Yield the saga's events as CloudEvents, from the first to the one that ends it.

        The index that they are read from is a moment older than the logs; this waits for it.
        """
        version = 1
        while True:
            page = await self._events_from(version)
            for event in page:
                yield event
                if event["type"] in _ENDS:
                    return
            version += len(page)
            if not page:
                await asyncio.sleep(EVENTS_POLL_S)

    async def _events_from(self, version: int) -> Sequence[Mapping[str, Any]]:
        try:
            return await self._client.read_stream(f"saga-{self.saga_id}", version)
        except QueryError as error:
            if error.kind != UNKNOWN_STREAM:
                raise
            return ()

    async def fork(
        self,
        at: int,
        patch: Mapping[str, Any] | None = None,
        *,
        idempotency_key: str | None = None,
    ) -> Saga:
        """Begin a saga that goes on from where this one was after `at` of its events.

        What was done by then is not run again, and not undone either if the fork turns back: it is
        this saga's. `patch` changes what the fork begins with, see `fork_of`.

        Raises:
            CannotFork: it had ended by then, or was turning back; or the patch does not fit.
            NoAnswer: the event store does not answer.
            TooLarge: the plan and the results are over the limit together.
        """
        history = await read_history(self._client.bus, self.saga_id, at)
        task = fork_of(self.saga_id, history, patch)
        return await self._client.begin(task, idempotency_key)

    # -- control ----------------------------------------------------------------------------
    #
    # Each returns when it is decided, and raises `ControlRefused` if it does not fit the saga as
    # it is, `NoAnswer` if no answer came in time. `actor` and `reason` are recorded.

    async def cancel(self, actor: str, reason: str = "") -> None:
        """Stop the saga and have undone what it did."""
        await self._client.control(self, CancelSaga(self.saga_id, actor, reason))

    async def pause(self, actor: str, reason: str = "") -> None:
        """Begin nothing more and stop all timers; calls under way may still be answered."""
        await self._client.control(self, PauseSaga(self.saga_id, actor, reason))

    async def resume(self, actor: str, reason: str = "") -> None:
        """Let the saga go on, its timers with what was left on them."""
        await self._client.control(self, ResumeSaga(self.saga_id, actor, reason))

    async def terminate(self, actor: str, reason: str = "") -> None:
        """End the saga at once, and undo nothing."""
        await self._client.control(self, TerminateSaga(self.saga_id, actor, reason))

    async def retry_step(self, step_id: str, actor: str, reason: str = "") -> None:
        """Begin now the next attempt that a step, or its compensation, waits for."""
        await self._client.control(self, RetryStep(self.saga_id, step_id, actor, reason))

    async def skip_step(self, step_id: str, actor: str, reason: str = "") -> None:
        """Go on without a step that was begun, or without undoing it if it is being undone."""
        await self._client.control(self, SkipStep(self.saga_id, step_id, actor, reason))

    async def force_complete(
        self, step_id: str, actor: str, reason: str = "", result: object = None
    ) -> None:
        """Take a step as done with `result`, or as undone if it is being undone."""
        value = await self._client.claims.packed(to_json(result))
        asked = ForceComplete(self.saga_id, step_id, actor, reason, value)
        await self._client.control(self, asked)

    async def answer(self, question_id: str, actor: str, value: object, reason: str = "") -> None:
        """Answer a question of the saga, as its `state()` shows them. Each is answered once."""
        packed = await self._client.claims.packed(to_json(value))
        asked = AnswerQuestion(self.saga_id, question_id, actor, packed, reason)
        await self._client.control(self, asked)

    async def signal(self, name: str, actor: str, value: object = None, reason: str = "") -> None:
        """Let whatever waits for the signal go on; it is kept until something does."""
        packed = await self._client.claims.packed(to_json(value))
        asked = SignalSaga(self.saga_id, name, actor, packed, reason)
        await self._client.control(self, asked)
