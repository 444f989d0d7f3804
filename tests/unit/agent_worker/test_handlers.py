"""The runner: every way a user's function can end is told once, and the worker goes on."""

from __future__ import annotations

import asyncio
import logging
import sys
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field, replace
from typing import Any

import pytest
from pydantic import BaseModel, TypeAdapter

from folkmoot.agent_worker.handlers import DETAIL_CHARS_MAX, RESULT_BYTES_MAX, Host, Runner
from folkmoot.core.kernel import Refused
from folkmoot.core.messages import Address, Call, CallKind, Failure, Json
from folkmoot.core.worker import (
    HandlerFailed,
    HandlerSucceeded,
    JournalResult,
    ReportProgress,
    RunHandler,
    StopHandler,
)
from folkmoot.runtime.seat import NotLeading
from folkmoot.sdk.agent import Agent, teams
from folkmoot.sdk.errors import Permanent, Retryable
from folkmoot.sdk.steps import Step
from folkmoot.testing.eventually import eventually

NOW = 1_000
Body = Callable[[Any, Any], Awaitable[Any]]


@dataclass
class Question:
    text: str


@dataclass
class Clock:
    """Stands still, so that only deadlines that a test sets pass."""

    def now(self) -> int:
        return NOW

    def monotonic(self) -> int:
        return 0


@dataclass
class Knowledge:
    bound_to: list[dict[str, str]] = field(default_factory=list)
    order: list[str] = field(default_factory=list)
    fails: bool = False

    def bound(self, **whose: str) -> Any:
        self.bound_to.append(whose)
        return self

    async def flush(self) -> None:
        if self.fails:
            raise ConnectionError("the log is gone")
        self.order.append("flushed")


class Bench:
    """A runner with a team of one agent, and everything that it tells the machine."""

    def __init__(self, body: Body) -> None:
        self.told: list[object] = []
        self.refusal: Exception | None = None
        self.knowledge = Knowledge()
        self.reports: list[tuple[str, str]] = []
        self.undone: list[tuple[Any, Any]] = []
        host = Host(teams([self._agent(body)])[0], self.knowledge, Clock(), self._report)
        self.runner = Runner(host, self._submit, lambda: 7)

    def _agent(self, body: Body) -> Agent:
        agent = Agent("x", team="t")

        async def step(ctx: Any, question: Question) -> Any:
            return await body(ctx, question)

        async def typed(ctx: Any, question: Question) -> Question:
            return await body(ctx, question)  # type: ignore[no-any-return]

        async def undo(ctx: Any, question: Question, done: Question | None) -> None:
            self.undone.append((question, done))

        async def plan(ctx: Any, task: Question) -> list[Step]:
            return [Step("step", task, id=f"epoch-{ctx.epoch}")]

        async def aggregate(ctx: Any, results: dict[str, Any]) -> int:
            return len(results)

        agent.step("step")(step)
        agent.step("typed")(typed).compensate(undo)
        agent.plan(plan)
        agent.aggregate(aggregate)
        return agent

    async def _report(self, call: Call, text: str) -> None:
        self.reports.append((call.saga_id, text))

    async def _submit(self, message: object) -> None:
        self.knowledge.order.append(type(message).__name__)
        if self.refusal is not None:
            raise self.refusal
        self.told.append(message)

    def start(self, call: Call, journal: dict[str, Json] | None = None, run: int = 1) -> None:
        self.runner.perform(RunHandler(call, run, journal or {}))

    async def end(self) -> Any:
        """Return the one thing that was told in the end."""
        await eventually(lambda: not self.runner.running)
        ends = [m for m in self.told if not isinstance(m, JournalResult)]
        assert len(ends) == 1
        return ends[0]

    async def failure(self) -> Failure:
        message = await self.end()
        assert isinstance(message, HandlerFailed)
        return message.failure


def call(**fields: Any) -> Call:
    made = Call(
        call_id="c1",
        saga_id="saga",
        step_id="step",
        kind="step",
        name="step",
        target="x",
        team="t",
        attempt=1,
        input={"text": "why"},
        idempotency_key="saga/step",
        deadline_at=NOW + 60_000,
        outcome_to=Address("in", 0),
    )
    return replace(made, **fields)


async def run(body: Body, **fields: Any) -> Bench:
    bench = Bench(body)
    bench.start(call(**fields))
    await eventually(lambda: not bench.runner.running)
    return bench


def raises(error: BaseException) -> Body:
    async def body(ctx: Any, question: Question) -> None:
        raise error

    return body


def returns(value: object) -> Body:
    async def body(ctx: Any, question: Question) -> object:
        return value

    return body


async def hangs(ctx: Any, question: Question) -> None:
    await asyncio.Event().wait()


# -- success ------------------------------------------------------------------------------------


async def test_a_step_gets_its_input_typed_and_its_result_becomes_json() -> None:
    async def body(ctx: Any, question: Any) -> object:
        assert (ctx.saga_id, ctx.run, ctx.epoch, question) == ("saga", 1, 7, Question("why"))
        await ctx.progress("half")
        return {"found": (question, 1.5)}

    bench = Bench(body)
    bench.start(replace(call(), heartbeat_ms=100))
    await eventually(lambda: len(bench.told) == 2)
    succeeded = HandlerSucceeded("c1", 1, {"found": [{"text": "why"}, 1.5]})
    assert bench.told == [ReportProgress("c1", 1), succeeded]
    assert bench.reports == [("saga", "half")]
    assert bench.knowledge.bound_to == [{"saga": "saga", "actor": "saga/step"}]


async def test_knowledge_is_durable_before_success_is_told() -> None:
    bench = await run(returns(1))
    assert bench.knowledge.order == ["flushed", "HandlerSucceeded"]


async def test_knowledge_that_cannot_be_kept_is_a_failure() -> None:
    bench = Bench(returns(1))
    bench.knowledge.fails = True
    bench.start(call())
    assert await bench.failure() == Failure("ConnectionError", "the log is gone")


async def test_calls_are_journaled_and_not_made_again() -> None:
    async def body(ctx: Any, question: Any) -> object:
        async def fetch(n: int) -> int:
            fetched.append(n)
            return n * 10

        return [await ctx.call("fetch", fetch, n) for n in (1, 2)]

    fetched: list[int] = []
    bench = Bench(body)
    bench.start(call(), {"fetch#1": 11}, run=2)
    assert (await bench.end()).result == [11, 20]
    assert fetched == [2]
    assert bench.told[0] == JournalResult("c1", 2, "fetch#2", 20)


@pytest.mark.parametrize(
    ("kind", "fields", "result"),
    [
        ("plan", {"name": "plan", "target": "t"}, "epoch-7"),
        ("aggregate", {"name": "aggregate", "recorded": {"a": 1, "b": 2}}, 2),
    ],
)
async def test_the_leaders_hooks_run(kind: CallKind, fields: dict[str, Any], result: Json) -> None:
    bench = await run(hangs, kind=kind, **fields)
    (told,) = bench.told
    assert isinstance(told, HandlerSucceeded)
    assert (told.result if kind == "aggregate" else told.result["steps"][0]["id"]) == result


@pytest.mark.parametrize(
    ("fields", "done"),
    [
        ({"recorded": {"text": "found"}}, Question("found")),
        ({"recorded": None, "in_doubt": True}, None),
    ],
)
async def test_a_compensation_gets_what_the_step_got_and_gave(
    fields: dict[str, Any], done: Question | None
) -> None:
    bench = await run(hangs, kind="compensate", name="typed", **fields)
    assert bench.undone == [(Question("why"), done)]
    assert bench.told == [HandlerSucceeded("c1", 1, None)]
    assert bench.knowledge.order[0] == "flushed"


async def test_a_step_without_compensation_has_nothing_to_undo() -> None:
    bench = await run(hangs, kind="compensate", recorded=1)
    assert bench.told == [HandlerSucceeded("c1", 1, None)]


# -- failure ------------------------------------------------------------------------------------


class Unspeakable(Exception):
    def __str__(self) -> str:
        raise RuntimeError


class Page(BaseModel):
    url: str


class Misparsed(Exception):
    @classmethod
    def by_the_handler(cls) -> Exception:
        try:
            TypeAdapter(Page).validate_python({})
        except ValueError as error:
            return error
        raise AssertionError


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        (Retryable("busy"), Failure("retryable", "busy")),
        (Retryable("busy", after_s=1.5), Failure("retryable", "busy", retry_after_ms=1500)),
        (Retryable("busy", after_s=float("nan")), Failure("retryable", "busy")),
        (Retryable("busy", after_s=float("inf")), Failure("retryable", "busy")),
        (Retryable("busy", after_s=-1), Failure("retryable", "busy")),
        (Permanent("no such page"), Failure("permanent", "no such page", retryable=False)),
        (KeyError("k"), Failure("KeyError", "'k'")),
        (ValueError(), Failure("ValueError", "ValueError")),
        (TimeoutError("of the tool"), Failure("TimeoutError", "of the tool")),
        (ExceptionGroup("both", [OSError()]), Failure("ExceptionGroup", "both (1 sub-exception)")),
        (asyncio.CancelledError(), Failure("CancelledError", "CancelledError")),
        (SystemExit(2), Failure("SystemExit", "2")),
        (OSError("x" * 9_000), Failure("OSError", "x" * DETAIL_CHARS_MAX)),
        (OSError("name\udcff"), Failure("OSError", "name?")),
        (
            Unspeakable(),
            Failure("Unspeakable", "it cannot say why: RuntimeError in its __str__"),
        ),
    ],
    ids=repr,
)
async def test_whatever_a_handler_raises_is_its_outcome(
    error: BaseException, expected: Failure
) -> None:
    bench = await run(raises(error))
    assert bench.told == [HandlerFailed("c1", 1, expected)]


async def test_a_parsing_error_within_a_handler_may_be_gone_next_time() -> None:
    failure = await (await run(raises(Misparsed.by_the_handler()))).failure()
    assert (failure.kind, failure.retryable) == ("ValidationError", True)


async def test_a_function_that_exits_the_process_does_not() -> None:
    async def body(ctx: Any, question: Any) -> object:
        return await ctx.call("tool", sys.exit, 3)

    assert await (await run(body)).failure() == Failure("SystemExit", "3")


@pytest.mark.parametrize(
    ("fields", "kind", "detail"),
    [
        ({"input": {"txt": "why"}}, "invalid-input", "the input does not fit its annotation"),
        ({"name": "sing"}, "definition", "agent 'x' has no step 'sing' here (it has: step, typed)"),
        ({"target": "y"}, "definition", "agent 'y' has no step 'step' here (it has: none)"),
        ({"kind": "plan", "name": "plan", "input": 7}, "invalid-input", "the task does not fit"),
        ({"kind": "plan", "name": "refund"}, "unknown-definition", "has no saga 'refund'"),
        (
            {"kind": "compensate", "name": "typed", "recorded": 7},
            "invalid-input",
            "the recorded result does not fit its annotation",
        ),
    ],
)
async def test_what_no_repetition_cures_is_not_retryable(
    fields: dict[str, Any], kind: str, detail: str
) -> None:
    failure = await (await run(hangs, **fields)).failure()
    assert (failure.kind, failure.retryable) == (kind, False)
    assert detail in failure.detail


async def test_a_result_is_checked_where_it_is_made() -> None:
    failure = await (await run(returns({"txt": 1}), name="typed")).failure()
    assert (failure.kind, failure.retryable) == ("invalid-result", True)
    assert "the result does not fit its annotation" in failure.detail
    (good,) = (await run(returns({"text": "x", "more": 1}), name="typed")).told
    assert good == HandlerSucceeded("c1", 1, {"text": "x"})


@pytest.mark.parametrize(
    ("value", "detail"),
    [
        ("x" * RESULT_BYTES_MAX, "the limit is 507,904: store it elsewhere"),
        (object(), "the result cannot be written as JSON"),
        ("\udcff", "the result cannot be written as JSON"),
        (2**70, "the result cannot be written as JSON"),
    ],
    ids=["too large", "object", "surrogate", "huge int"],
)
async def test_a_result_that_cannot_travel_is_a_permanent_failure(
    value: object, detail: str
) -> None:
    failure = await (await run(returns(value))).failure()
    assert (failure.kind, failure.retryable) == ("permanent", False)
    assert detail in failure.detail


@pytest.mark.parametrize(
    ("name", "value"), [("big", "x" * RESULT_BYTES_MAX), ("\udcff", 1), ("n" * 600_000, 1)]
)
async def test_what_cannot_be_journaled_fails_the_handler_and_nothing_else(
    name: str, value: object
) -> None:
    async def body(ctx: Any, question: Any) -> object:
        return await ctx.call(name, lambda: value)

    failure = await (await run(body)).failure()
    assert (failure.kind, failure.retryable) == ("permanent", False)
    assert len(failure.detail) <= DETAIL_CHARS_MAX


async def test_a_full_journal_fails_the_handler_for_good() -> None:
    async def body(ctx: Any, question: Any) -> object:
        bench.refusal = Refused("journal-full", "10,000 results are the limit")
        try:
            return await ctx.call("a", lambda: 1)
        finally:
            bench.refusal = None

    bench = Bench(body)
    bench.start(call())
    assert await bench.failure() == Failure(
        "permanent", "10,000 results are the limit", retryable=False
    )


# -- time, cancelling, leadership ---------------------------------------------------------------


@pytest.mark.parametrize(("sent_at", "deadline_at"), [(0, NOW + 20), (0, NOW - 5), (9, 29)])
async def test_a_handler_ends_at_its_deadline(sent_at: int, deadline_at: int) -> None:
    failure = await (await run(hangs, sent_at=sent_at, deadline_at=deadline_at)).failure()
    assert failure == Failure("timed-out", "it did not end before its deadline")


async def test_a_handler_has_its_deadline_by_its_own_clock() -> None:
    bench = await run(lambda ctx, _: asyncio.sleep(0, ctx.deadline_at), sent_at=9, deadline_at=79)
    assert (await bench.end()).result == NOW + 70


async def started(body: Body) -> tuple[Bench, asyncio.Event]:
    entered = asyncio.Event()

    async def entering(ctx: Any, question: Any) -> Any:
        entered.set()
        return await body(ctx, question)

    bench = Bench(entering)
    bench.start(call())
    return bench, entered


async def test_a_handler_that_is_told_to_stop_says_that_it_was_cancelled() -> None:
    bench, entered = await started(hangs)
    await entered.wait()
    bench.runner.perform(StopHandler("c1"))
    failure = await bench.failure()
    assert failure == Failure("cancelled", "cancelled while it ran", retryable=False)


async def test_a_handler_that_is_stopped_before_it_began_answers_and_does_nothing() -> None:
    bench, entered = await started(hangs)
    bench.runner.perform(StopHandler("c1"))
    assert ((await bench.failure()).kind, entered.is_set()) == ("cancelled", False)


async def test_a_handler_may_finish_though_it_was_told_to_stop() -> None:
    async def stubborn(ctx: Any, question: Any) -> str:
        try:
            await hangs(ctx, question)
        except asyncio.CancelledError:
            return "done anyway"
        raise AssertionError

    bench, entered = await started(stubborn)
    await entered.wait()
    bench.runner.perform(StopHandler("c1"))
    assert (await bench.end()).result == "done anyway"


async def test_stopping_what_does_not_run_does_nothing() -> None:
    bench = Bench(hangs)
    bench.runner.perform(StopHandler("never heard of"))
    bench.runner.perform("something else")
    assert not bench.runner.running


async def test_an_abandoned_handler_is_stopped_and_tells_nobody() -> None:
    cleaned = asyncio.Event()

    async def tidy(ctx: Any, question: Any) -> None:
        try:
            await hangs(ctx, question)
        finally:
            cleaned.set()

    bench, entered = await started(tidy)
    await entered.wait()
    bench.runner.abandon()
    await cleaned.wait()
    await eventually(lambda: not bench.runner.running)
    assert bench.told == []


async def test_a_handler_abandoned_and_told_to_stop_tells_nobody_of_the_run_after_it() -> None:
    bench, entered = await started(hangs)
    await entered.wait()
    bench.runner.abandon()
    bench.start(call(), run=2)
    bench.runner.perform(StopHandler("c1"))
    message = await bench.end()
    assert (message.run, message.failure.kind) == (2, "cancelled")


async def test_an_outcome_nobody_wants_any_more_is_no_error(
    caplog: pytest.LogCaptureFixture,
) -> None:
    bench = Bench(returns(1))
    bench.refusal = NotLeading("gone")
    bench.start(call())
    await eventually(lambda: not bench.runner.running)
    assert [r for r in caplog.records if r.levelno >= logging.WARNING] == []


async def test_a_bug_of_the_runner_is_logged_with_a_call(caplog: pytest.LogCaptureFixture) -> None:
    bench = Bench(returns(1))
    bench.refusal = RuntimeError("a bug")
    bench.start(call())
    await eventually(lambda: "running c1 broke" in caplog.text)
