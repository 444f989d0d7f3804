"""The client: one saga for one key, and a result for everybody who waits for it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from dataclasses import asdict, dataclass
from typing import Any

import orjson
import pytest

from folkmoot.bus.inprocess import Hub, InProcessGossip
from folkmoot.bus.ports import Bus, Gossiped, Record
from folkmoot.contracts.envelope import TooLarge, decode_message, encode_message
from folkmoot.core.messages import (
    TASK_RESULTS,
    TASKS,
    CancelSaga,
    Failure,
    ForceComplete,
    PauseSaga,
    ResumeSaga,
    RetryStep,
    SkipStep,
    Task,
    TaskResult,
    TerminateSaga,
    inbox,
)
from folkmoot.core.names import by_wire_name
from folkmoot.core.saga import ControlAnswer, announcement_subject
from folkmoot.runtime.service import NOT_LEADING, QueryError, encode_answer, encode_refusal
from folkmoot.sdk.asking import ASK_AGAIN_S
from folkmoot.sdk.client import Client
from folkmoot.sdk.errors import ControlRefused, NoAnswer, SagaFailed
from folkmoot.sdk.queries import ask, ask_all
from folkmoot.testing.eventually import eventually
from folkmoot.testing.faulty_log import FaultyLog, Storage

ORCHESTRATOR = inbox("saga-orchestrator")


@dataclass
class Brief:
    pages: int


class City:
    """A bus with a client on it, and an orchestrator that a test plays."""

    def __init__(self) -> None:
        self.storage = Storage({TASKS: 2, TASK_RESULTS: 2, ORCHESTRATOR: 2})
        self.log = FaultyLog(self.storage)
        self.bus = Bus(self.log, InProcessGossip(Hub()), "city")
        self.remembered: dict[str, Any] = {}
        self.asked: list[Any] = []
        self.controls: Callable[[str], Any] = lambda _: None

    async def open_desks(self) -> None:
        for partition in (0, 1):
            await self.bus.gossip.respond(
                f"folkmoot.query.saga-orchestrator.{partition}", self._answer
            )

    async def _answer(self, question: Gossiped) -> bytes:
        request = orjson.loads(question.data)
        self.asked.append(request)
        if request["op"] == "control":
            return encode_answer(self.controls(request["request_id"]))
        if request["op"] == "outcome":
            return encode_answer(self.remembered.get(request["saga_id"]))
        if request["saga_id"] not in self.remembered:
            return encode_refusal(QueryError("unknown-saga", "no such saga"))
        return encode_answer({"subject": question.subject})

    async def announce(self, answer: ControlAnswer) -> None:
        subject = announcement_subject(answer.request_id)
        await self.bus.gossip.publish(subject, orjson.dumps(answer))

    def tasks(self) -> list[tuple[int, Task]]:
        types = by_wire_name(Task)
        return [
            (p, decode_message(r.value, r.headers, types).message)  # type: ignore[misc]
            for p in (0, 1)
            for r in self.storage.partitions[TASKS, p]
        ]

    def publish(self, *outcomes: object) -> None:
        for outcome in outcomes:
            value, headers = encode_message(outcome, event_id="e", source="s", at=0)
            self.storage.land(TASK_RESULTS, 1, [Record(value, None, headers)])


@pytest.fixture
async def city() -> AsyncIterator[City]:
    made = City()
    await made.open_desks()
    yield made
    await made.bus.gossip.close()
    assert made.log.open == 0


def completed(saga_id: str, result: Any) -> TaskResult:
    return TaskResult(saga_id, "t", "completed", result)


async def test_the_same_key_is_the_same_saga_in_the_same_place(city: City) -> None:
    async with Client.on(city.bus) as client:
        first = await client.submit("t", Brief(3), idempotency_key="req-42")
        again = await client.submit("t", Brief(3), idempotency_key="req-42")
        other = await client.submit("t", Brief(3))
    assert first.saga_id == again.saga_id != other.saga_id
    mine = [(p, task) for p, task in city.tasks() if task.saga_id == first.saga_id]
    assert mine == [(first.partition, Task("t", {"pages": 3}, first.saga_id))] * 2


async def test_a_result_comes_as_soon_as_it_is_published_in_its_type(city: City) -> None:
    async with Client.on(city.bus) as client:
        saga = await client.submit("t", None)
        waiting = asyncio.create_task(saga.result(Brief))
        await asyncio.sleep(0.3)
        city.publish(completed("another", 1), completed(saga.saga_id, {"pages": 9}))
        before = asyncio.get_running_loop().time()
        assert await waiting == Brief(9)
        assert asyncio.get_running_loop().time() - before < 0.01
    assert city.asked == []


async def test_a_result_published_before_anybody_asked_is_remembered(city: City) -> None:
    async with Client.on(city.bus) as client:
        saga = await client.submit("t", None)
        city.publish(completed(saga.saga_id, 1))
        await asyncio.sleep(0.1)
        city.remembered[saga.saga_id] = completed(saga.saga_id, 1)
        assert await saga.result() == 1
        assert await saga.result() == 1


async def test_events_are_waited_for_until_they_are_read(city: City) -> None:
    opened, ended = ({"type": f"folkmoot.saga-{what}.v1"} for what in ("opened", "completed"))
    answers = [None, [opened], [], [ended]]

    async def read(_question: Gossiped) -> bytes:
        events = answers.pop(0)
        if events is None:
            return encode_refusal(QueryError("unknown-stream", "not read yet"))
        return encode_answer({"events": [{"event": event} for event in events]})

    await city.bus.gossip.respond("folkmoot.query.event-store.index", read)
    async with Client.on(city.bus) as client:
        saga = await client.submit("t", None)
        assert [event async for event in saga.events()] == [opened, ended]


async def test_all_who_wait_for_one_saga_get_its_result(city: City) -> None:
    async with Client.on(city.bus) as client:
        saga = await client.submit("t", None, idempotency_key="k")
        same = await client.submit("t", None, idempotency_key="k")
        waiting = [asyncio.create_task(each.result()) for each in (saga, same, saga)]
        impatient = asyncio.create_task(saga.result(timeout_s=0.1))
        with pytest.raises(TimeoutError):
            await impatient
        city.publish(completed(saga.saga_id, 7), completed(saga.saga_id, 7))
        assert await asyncio.gather(*waiting) == [7, 7, 7]
        other = await client.submit("t", None)
        listening = asyncio.create_task(other.result())
        await asyncio.sleep(0.1)
        city.publish(completed(other.saga_id, 8))
        assert await asyncio.wait_for(listening, ASK_AGAIN_S / 2) == 8


async def test_a_published_result_that_was_lost_is_asked_for(city: City) -> None:
    async with Client.on(city.bus) as client:
        saga = await client.submit("t", None)
        waiting = asyncio.create_task(saga.result())
        await asyncio.sleep(ASK_AGAIN_S / 2)
        city.remembered[saga.saga_id] = completed(saga.saga_id, 5)
        assert await asyncio.wait_for(waiting, ASK_AGAIN_S) == 5


async def test_results_that_cannot_be_followed_are_asked_for(
    city: City, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO")
    async with Client.on(city.bus) as client:
        saga = await client.submit("t", None)
        city.log.down = True
        await eventually(lambda: "they cannot be followed" in caplog.text)
        city.remembered[saga.saga_id] = completed(saga.saga_id, 5)
        assert await saga.result() == 5
        city.log.down = False


@pytest.mark.parametrize("state", ["compensated", "failed", "refused"])
async def test_a_saga_without_result_says_in_which_state_and_why(city: City, state: Any) -> None:
    async with Client.on(city.bus) as client:
        saga = await client.submit("t", None)
        failure = Failure("unknown-team", "there is no team 't'")
        city.remembered[saga.saga_id] = TaskResult(saga.saga_id, "t", state, failure=failure)
        with pytest.raises(SagaFailed, match=f"is {state}: there is no team 't'") as problem:
            await saga.result()
        assert (problem.value.saga_id, problem.value.state) == (saga.saga_id, state)


async def test_many_who_submit_at_once_follow_the_results_once(city: City) -> None:
    async with Client.on(city.bus) as client:
        city.log.topics_take_s = 0.01
        sagas = await asyncio.gather(*(client.submit("t", n) for n in range(64)))
        assert city.log.open == 2 + 1
        waiting = asyncio.gather(*(saga.result() for saga in sagas))
        await asyncio.sleep(0.1)
        city.publish(*(completed(saga.saga_id, n) for n, saga in enumerate(sagas)))
        assert await waiting == list(range(64))


async def test_a_saga_is_found_by_its_id_on_any_shard(city: City) -> None:
    city.remembered["saga-1"] = None
    async with Client.on(city.bus) as client:
        saga = await client.saga("saga-1")
        assert await saga.state() == {"subject": "folkmoot.query.saga-orchestrator.0"}
        with pytest.raises(NoAnswer, match="there is no saga saga-2"):
            await client.saga("saga-2")


CONTROLS: list[tuple[str, tuple[Any, ...], type, dict[str, Any]]] = [
    ("cancel", (), CancelSaga, {}),
    ("pause", (), PauseSaga, {}),
    ("resume", (), ResumeSaga, {}),
    ("terminate", (), TerminateSaga, {}),
    ("retry_step", ("a",), RetryStep, {"step_id": "a"}),
    ("skip_step", ("a",), SkipStep, {"step_id": "a"}),
    ("force_complete", ("a",), ForceComplete, {"step_id": "a", "result": None}),
]


@pytest.mark.parametrize(("method", "args", "cls", "fields"), CONTROLS, ids=lambda v: str(v)[:20])
async def test_a_request_goes_to_the_shard_of_the_saga_and_is_answered(
    city: City, method: str, args: Any, cls: type, fields: dict[str, Any]
) -> None:
    async with Client.on(city.bus) as client:
        saga = await client.submit("t", None, idempotency_key="k")
        asking = asyncio.create_task(getattr(saga, method)(*args, "me", "changed my mind"))
        await eventually(lambda: bool(city.storage.partitions[ORCHESTRATOR, saga.partition]))
        (record,) = city.storage.partitions[ORCHESTRATOR, saga.partition]
        message: Any = decode_message(record.value, record.headers, by_wire_name(cls)).message
        expected = {"saga_id": saga.saga_id, "actor": "me", "reason": "changed my mind"} | fields
        assert {name: getattr(message, name) for name in expected} == expected
        await city.announce(ControlAnswer(saga.saga_id, message.request_id))
        await asking


async def test_a_refused_request_says_why_although_its_announcement_was_lost(city: City) -> None:
    async with Client.on(city.bus) as client:
        saga = await client.submit("t", None)
        failure = Failure("wrong-phase", "it is not paused", retryable=False)
        city.controls = lambda request: asdict(ControlAnswer(saga.saga_id, request, failure))
        with pytest.raises(ControlRefused, match="it is not paused") as problem:
            await saga.resume("me")
        assert (problem.value.saga_id, problem.value.kind) == (saga.saga_id, "wrong-phase")


async def test_a_request_that_nobody_answers_is_not_taken_for_done(city: City) -> None:
    async with Client.on(city.bus) as client:
        saga = await client.submit("t", None)
        with pytest.raises(NoAnswer, match=r"no answer about .* came within 0\.1 s"):
            await client.control(saga, PauseSaga(saga.saga_id, "me"), timeout_s=0.1)


async def test_a_task_over_the_limit_is_not_sent(city: City) -> None:
    async with Client.on(city.bus) as client:
        with pytest.raises(TooLarge, match="send a reference"):
            await client.submit("t", "x" * 600_000)
    assert city.tasks() == []


async def test_where_folkmoot_never_ran_it_says_so() -> None:
    bus = Bus(FaultyLog(Storage({})), InProcessGossip(Hub()), "void")
    async with Client.on(bus) as client:
        with pytest.raises(NoAnswer, match="has Folkmoot ever been started on this bus"):
            await client.submit("t", None)


# -- questions ------------------------------------------------------------------------------------


async def test_every_shard_is_asked_in_order(city: City) -> None:
    city.remembered["s"] = None
    answers = await ask_all(city.bus, "saga-orchestrator", {"op": "show", "saga_id": "s"})
    assert [answer["subject"][-1] for answer in answers] == ["0", "1"]


async def test_a_refusal_is_an_error_and_a_change_of_leader_is_no_answer(city: City) -> None:
    with pytest.raises(QueryError, match="no such saga"):
        await ask(city.bus, "saga-orchestrator", 0, {"op": "show", "saga_id": "x"})
    with pytest.raises(NoAnswer, match="shard 7 of election does not answer: is it running"):
        await ask(city.bus, "election", 7, {})

    async def deposed(_: Gossiped) -> bytes:
        return encode_refusal(QueryError(NOT_LEADING, "ask again"))

    await city.bus.gossip.respond("folkmoot.query.election.0", deposed)
    with pytest.raises(NoAnswer, match="the leader of shard 0 of election changes"):
        await ask(city.bus, "election", 0, {})
