"""Each saga is one trace: real sagas on a whole mesh, and what a collector is sent of them."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import sys
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from collector import Collector
from opentelemetry import trace
from running import environment

from folkmoot import Agent, Client, LeaderContext, Permanent, Retry, SagaFailed, Step, StepContext
from folkmoot.cli.output import CommandError
from folkmoot.cli.retelling import Told, retell
from folkmoot.core.tracing import Span
from folkmoot.mesh import Mesh
from folkmoot.runtime.clock import SystemClock
from folkmoot.runtime.logs import JsonLines
from folkmoot.runtime.propagation import within
from folkmoot.runtime.seat import Role
from folkmoot.runtime.service import Service
from folkmoot.saga_orchestrator.bootstrap import service as saga_orchestrator
from folkmoot.saga_orchestrator.settings import SagaOrchestratorServiceSettings
from folkmoot.testing.eventually import eventually

QUICK = Retry(attempts=3, initial_s=0.01, cap_s=0.01)


class Kitchen:
    """An agent that cooks, and fails as often as the test has it."""

    def __init__(self) -> None:
        self.agent = Agent("cook", team="kitchen")
        self.failures = 0
        self.burnt = False
        self.begun = asyncio.Event()
        self.may_end = asyncio.Event()
        self.may_end.set()
        self.seen: list[tuple[str, str]] = []
        self.agent.plan(self.plan)
        self.agent.aggregate(self.serve)
        chop = self.agent.step("chop")(self.chop)
        chop.compensate(self.unchop)
        self.agent.step("fry", retry=QUICK)(self.fry)

    async def plan(self, ctx: LeaderContext, task: str) -> list[Step]:
        return [Step("chop", task), Step("fry", task, needs=["chop"])]

    async def serve(self, ctx: LeaderContext, results: dict[str, str]) -> str:
        return results["fry"]

    async def chop(self, ctx: StepContext, task: str) -> str:
        self.see("chop")
        self.begun.set()
        await self.may_end.wait()
        return str(await ctx.call("knife", self.cut, task))

    async def cut(self, task: str) -> str:
        self.see("cut")
        return task

    async def unchop(self, ctx: StepContext, task: str, done: str | None) -> None:
        self.see("unchop")

    async def fry(self, ctx: StepContext, task: str) -> str:
        if self.burnt:
            raise Permanent("burnt: secret sauce")
        if self.failures:
            self.failures -= 1
            raise RuntimeError("too hot")
        return task

    def see(self, where: str) -> None:
        """Note in which span this code runs, as any instrumented client would find it."""
        span = trace.get_current_span().get_span_context()
        self.seen.append((where, f"{span.span_id:016x}" if span.is_valid else ""))


@pytest.fixture
async def kitchen() -> Kitchen:
    return Kitchen()


@pytest.fixture
def collector() -> Iterator[Collector]:
    with Collector.serving() as serving:
        yield serving
        assert serving.undeclared() == []


@asynccontextmanager
async def traced(
    kitchen: Kitchen, collector: Collector, folder: Path, patch: pytest.MonkeyPatch, ratio: str
) -> AsyncIterator[tuple[Mesh, Client]]:
    patch.setenv("FOLKMOOT_OTLP_ENDPOINT", collector.endpoint)
    patch.setenv("FOLKMOOT_TRACE_RATIO", ratio)
    async with (
        Mesh.start(f"embedded:{folder}/log.db", [kitchen.agent]) as mesh,
        Client.on(mesh.bus) as client,
    ):
        yield mesh, client


Both = tuple[Mesh, Client]


@pytest.fixture
async def both(
    kitchen: Kitchen, collector: Collector, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[Both]:
    async with traced(kitchen, collector, tmp_path, monkeypatch, "1") as made:
        yield made


PLAIN = [
    "aggregate > invoke_agent kitchen run 1",
    "invoke_agent cook run 1 > call knife",
    "plan > invoke_agent kitchen run 1",
    "saga kitchen > aggregate",
    "saga kitchen > plan",
    "saga kitchen > step chop 1",
    "saga kitchen > step fry 1",
    "step chop 1 > breaker cook",
    "step chop 1 > invoke_agent cook run 1",
    "step fry 1 > breaker cook",
    "step fry 1 > invoke_agent cook run 1",
]


async def test_a_saga_is_one_trace_of_all_that_was_done_for_it(
    kitchen: Kitchen, collector: Collector, both: Both
) -> None:
    saga = await both[1].submit("kitchen", "onion")
    await saga.result(timeout_s=20)
    await eventually(lambda: len(collector.edges(saga.saga_id)) == len(PLAIN))
    assert collector.edges(saga.saga_id) == PLAIN
    assert collector.doubled(saga.saga_id) == []
    assert len({span.trace_id for span in collector.spans(saga.saga_id).values()}) == 1
    assert {span.service for span in collector.spans(saga.saga_id).values()} == {
        "folkmoot-saga-orchestrator",
        "folkmoot-breaker-proxy",
        "folkmoot-agent-worker",
    }


async def test_each_attempt_is_a_span_and_those_that_failed_say_so(
    kitchen: Kitchen, collector: Collector, both: Both
) -> None:
    kitchen.failures = 2
    saga = await both[1].submit("kitchen", "onion")
    await saga.result(timeout_s=20)
    await eventually(lambda: collector.is_whole(saga.saga_id))
    tries = [edge for edge in collector.edges(saga.saga_id) if "> step fry" in edge]
    assert tries == [
        "saga kitchen > step fry 1 failed",
        "saga kitchen > step fry 2 failed",
        "saga kitchen > step fry 3",
    ]


async def ends_badly(client: Client) -> str:
    saga = await client.submit("kitchen", "onion")
    with pytest.raises(SagaFailed):
        await saga.result(timeout_s=20)
    return saga.saga_id


async def test_a_compensation_is_linked_to_what_it_undoes(
    kitchen: Kitchen, collector: Collector, both: Both
) -> None:
    kitchen.burnt = True
    saga_id = await ends_badly(both[1])
    await eventually(lambda: collector.is_whole(saga_id))
    spans = collector.spans(saga_id).values()
    undone = next(span for span in spans if span.name == "compensate chop")
    chopped = next(span for span in spans if span.name == "step chop")
    assert undone.links == (chopped.span_id,)
    run = "compensate chop 1 > invoke_agent cook run 1"
    await eventually(lambda: run in collector.edges(saga_id))
    assert [root.failed for root in collector.roots(saga_id)] == [True]


async def test_of_sagas_that_are_not_sampled_only_those_that_fail_are_exported(
    kitchen: Kitchen, collector: Collector, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with traced(kitchen, collector, tmp_path, monkeypatch, "0") as (_, client):
        well = await client.submit("kitchen", "onion")
        await well.result(timeout_s=20)
        kitchen.burnt = True
        saga_id = await ends_badly(client)
    assert collector.spans(well.saga_id) == {}
    assert collector.is_whole(saga_id)
    attempts = [edge for edge in collector.edges(saga_id) if edge.startswith("saga ")]
    assert attempts == [
        "saga kitchen failed > compensate chop 1",
        "saga kitchen failed > plan",
        "saga kitchen failed > step chop 1",
        "saga kitchen failed > step fry 1 failed",
    ]


async def test_nothing_that_a_task_or_a_failure_says_is_in_its_trace(
    kitchen: Kitchen, collector: Collector, both: Both
) -> None:
    kitchen.burnt = True
    saga_id = await ends_badly(both[1])
    await eventually(lambda: collector.is_whole(saga_id))
    said = b"".join(span.bits for span in collector.received)
    assert b"secret sauce" not in said
    assert b"onion" not in said


async def test_nothing_that_a_task_or_a_failure_says_is_logged(
    kitchen: Kitchen, both: Both, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    kitchen.failures = 1
    saga = await both[1].submit("kitchen", "onion")
    await saga.result(timeout_s=20)
    kitchen.burnt = True
    await ends_badly(both[1])
    logged = "".join(map(JsonLines().format, caplog.records))
    assert "onion" not in logged
    assert "secret sauce" not in logged
    assert "too hot" not in logged


# -- context ------------------------------------------------------------------------------------

PUBLISHER = (0x11112222333344445555666677778888, 0x1234567812345678)


async def test_the_publishers_trace_goes_on(collector: Collector, both: Both) -> None:
    with within(*PUBLISHER, sampled=True):
        saga = await both[1].submit("kitchen", "onion")
    await saga.result(timeout_s=20)
    await eventually(lambda: len(collector.edges(saga.saga_id)) == len(PLAIN))
    [root] = collector.roots(saga.saga_id)
    assert (root.trace_id, root.parent) == tuple(f"{each:x}" for each in PUBLISHER)
    assert collector.edges(saga.saga_id) == PLAIN


async def test_what_a_handler_calls_is_a_child_of_its_run(
    kitchen: Kitchen, collector: Collector, both: Both
) -> None:
    saga = await both[1].submit("kitchen", "onion")
    await saga.result(timeout_s=20)
    await eventually(lambda: len(collector.edges(saga.saga_id)) == len(PLAIN))
    spans = collector.spans(saga.saga_id)
    assert [(where, spans[span].name) for where, span in kitchen.seen] == [
        ("chop", "invoke_agent cook"),
        ("cut", "call knife"),
    ]
    assert trace.get_current_span().get_span_context().is_valid is False


async def test_without_an_endpoint_the_publishers_span_still_reaches_the_handlers(
    kitchen: Kitchen, tmp_path: Path
) -> None:
    async with (
        Mesh.start(f"embedded:{tmp_path}/log.db", [kitchen.agent]) as mesh,
        Client.on(mesh.bus) as client,
    ):
        with within(*PUBLISHER, sampled=True):
            saga = await client.submit("kitchen", "onion")
        await saga.result(timeout_s=20)
    assert [span for _, span in kitchen.seen] == [f"{PUBLISHER[1]:x}"] * 2


# -- crashes ------------------------------------------------------------------------------------


async def test_a_worker_that_dies_leaves_its_run_to_whoever_follows(
    kitchen: Kitchen, collector: Collector, both: Both
) -> None:
    mesh, client = both
    kitchen.may_end.clear()
    saga = await client.submit("kitchen", "onion")
    await kitchen.begun.wait()
    kitchen.begun.clear()
    mesh.kill(working(mesh))
    await kitchen.begun.wait()
    kitchen.may_end.set()
    await saga.result(timeout_s=20)
    await eventually(lambda: len(collector.edges(saga.saga_id)) == len(PLAIN) + 1)
    assert collector.orphans(saga.saga_id) == []
    runs = [edge for edge in collector.edges(saga.saga_id) if edge.startswith("step chop 1 > inv")]
    assert runs == [
        "step chop 1 > invoke_agent cook run 1 failed",
        "step chop 1 > invoke_agent cook run 2",
    ]


def working(mesh: Mesh) -> str:
    """Return the member that runs a handler."""
    for name, member in mesh.members.items():
        for replica in member.service.replicas:
            if replica.leads and replica.shard.state.running:
                return name
    raise AssertionError("nobody works")


async def test_a_fail_over_in_mid_saga_tears_no_trace_and_doubles_no_span(
    kitchen: Kitchen, collector: Collector, both: Both
) -> None:
    mesh, client = both
    async with second_orchestrator(mesh) as second:
        kitchen.may_end.clear()
        saga = await client.submit("kitchen", "onion")
        await kitchen.begun.wait()
        await eventually(lambda: any(s.name == "plan" for s in collector.received))
        await eventually(lambda: second.tracing is not None and second.tracing.unsent == 0)
        kill("saga-orchestrator")
        await eventually(lambda: all(replica.leads for replica in second.replicas))
        kitchen.may_end.set()
        await saga.result(timeout_s=20)
        await eventually(lambda: len(collector.edges(saga.saga_id)) == len(PLAIN))
    assert collector.edges(saga.saga_id) == PLAIN
    assert collector.doubled(saga.saga_id) == []
    assert len(collector.roots(saga.saga_id)) == 1


async def test_spans_that_a_leader_did_not_live_to_send_are_sent_by_the_next(
    kitchen: Kitchen, collector: Collector, both: Both, monkeypatch: pytest.MonkeyPatch
) -> None:
    mesh, client = both
    async with second_orchestrator(mesh) as second:
        first = mesh.services["saga-orchestrator"].tracing
        assert first is not None
        assert first.sender is not None
        monkeypatch.setattr(first.sender, "put", lambda *_: None)
        kitchen.may_end.clear()
        saga = await client.submit("kitchen", "onion")
        await kitchen.begun.wait()
        kill("saga-orchestrator")
        await eventually(lambda: all(replica.leads for replica in second.replicas))
        kitchen.may_end.set()
        await saga.result(timeout_s=20)
        await eventually(lambda: len(collector.edges(saga.saga_id)) == len(PLAIN))
    assert collector.edges(saga.saga_id) == PLAIN


def kill(service: str) -> None:
    """Crash one of the mesh's services: everything it does stops now."""
    [task] = [each for each in asyncio.all_tasks() if each.get_name() == service]
    task.cancel()


@asynccontextmanager
async def second_orchestrator(mesh: Mesh) -> AsyncIterator[Service]:
    """Run another process of the orchestrator, which follows."""
    service = await saga_orchestrator(
        mesh.bus,
        SagaOrchestratorServiceSettings(
            partitions=mesh.options.partitions, ttl_ms=mesh.options.ttl_ms
        ),
        SystemClock(),
    )
    running = asyncio.create_task(service.run())
    await eventually(lambda: all(r.role is Role.FOLLOWING for r in service.replicas))
    yield service
    service.stop()
    await running


# -- the same, from the history -------------------------------------------------------------------


async def test_the_history_tells_the_same_spans_as_were_exported(
    kitchen: Kitchen, collector: Collector, both: Both
) -> None:
    kitchen.failures = 1
    saga = await both[1].submit("kitchen", "onion")
    await saga.result(timeout_s=20)
    await eventually(lambda: len(collector.edges(saga.saga_id)) == len(PLAIN) + 3)
    exported = {
        (span.name, span.span_id, span.parent, span.began_at, span.ended_at)
        for span in collector.spans(saga.saga_id).values()
        if not span.name.startswith(("breaker", "call"))
    }
    told = await complete(both[0], saga.saga_id)
    assert exported == {
        (s.name, f"{s.span_id:016x}", f"{s.parent:016x}" if s.parent else "", *ns(s))
        for s in told.spans
        if not s.name.startswith("call")
    }
    [call] = [span for span in told.spans if span.name.startswith("call")]
    assert f"{call.span_id:016x}" in collector.spans(saga.saga_id)


def ns(span: Span) -> tuple[int, int]:
    return span.began_at * 1_000_000, span.ended_at * 1_000_000


async def complete(mesh: Mesh, saga_id: str) -> Told:
    """Return what the history tells when the event store has all of it."""
    async with asyncio.timeout(20):
        while True:
            told = await retell(mesh.bus, saga_id, 0)
            runs = sum(span.name.startswith("invoke_agent") for span in told.spans)
            attempts = sum(span.kind == "producer" for span in told.spans)
            if told.spans and not told.open and runs == attempts:
                return told
            await asyncio.sleep(0.02)


async def test_the_command_shows_a_saga_that_is_not_over(kitchen: Kitchen, both: Both) -> None:
    kitchen.may_end.clear()
    saga = await both[1].submit("kitchen", "onion")
    await kitchen.begun.wait()
    told = await under_way(both[0], saga.saga_id)
    assert sorted(s.name for s in told.spans if s.span_id in told.open) == [
        "invoke_agent cook",
        "saga kitchen",
        "step chop",
    ]
    command = [sys.executable, "-m", "folkmoot.cli", "trace", saga.saga_id, "--bus"]
    process = await asyncio.create_subprocess_exec(
        *command, both[0].bus.address, env=environment(), stdout=-1, stderr=-2
    )
    shown, _ = await asyncio.wait_for(process.communicate(), 100)
    kitchen.may_end.set()
    await saga.result(timeout_s=20)
    assert process.returncode == 0, shown.decode()
    assert "saga kitchen  open" in shown.decode()
    assert "└─ invoke_agent cook" in shown.decode()
    assert "critical path: plan" in shown.decode()


async def under_way(mesh: Mesh, saga_id: str) -> Told:
    """Return what the history tells when the event store knows of the run that was begun."""
    async with asyncio.timeout(20):
        while True:
            with contextlib.suppress(CommandError):
                told = await retell(mesh.bus, saga_id, SystemClock().now())
                if len(told.open) == 3:
                    return told
            await asyncio.sleep(0.02)
