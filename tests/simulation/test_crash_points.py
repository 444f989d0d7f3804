"""A process dies at every entry of a reference saga: nothing is lost, and nothing is done twice.

Not sampled: each entry of each log, just before it is there and just after. The saga books three
things; the last fails for good, so that the others are undone. Whoever dies, it ends as without a
crash; a journaled call is repeated only if its member died before its result was recorded.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field

import pytest

from folkmoot import Agent, LeaderContext, Permanent, Step, StepContext
from folkmoot.testing import History, TestMesh, simulate

RESTART_S = 0.3
ORCHESTRATOR = "folkmoot.saga-orchestrator.log"
BREAKER = "folkmoot.breaker-proxy.log"
WORKER = "folkmoot.agent.travel.log"
LEADER = "folkmoot.team.trips.log"
LOGS = (ORCHESTRATOR, BREAKER, WORKER, LEADER)
WORKERS = {WORKER, LEADER}


@dataclass
class Travel:
    """The agent, and what it has done to the world: each call as often as it ran."""

    booked: set[str] = field(default_factory=set)
    calls: Counter[str] = field(default_factory=Counter)

    def agent(self) -> Agent:
        agent = Agent("travel", team="trips", partitions=1)
        for name in ("flight", "hotel", "table"):
            self._offer(agent, name)

        async def plan(ctx: LeaderContext, city: str) -> list[Step]:
            await ctx.call("look", self._call, "look")
            return [
                Step("flight", city),
                Step("hotel", city, needs=["flight"]),
                Step("table", city, needs=["hotel"]),
            ]

        agent.plan(plan)
        return agent

    def _offer(self, agent: Agent, name: str) -> None:
        async def book(ctx: StepContext, city: str) -> str:
            if name == "table":
                raise Permanent("no table is free")
            await ctx.call("book", self._book, name)
            return name

        async def cancel(ctx: StepContext, city: str, done: str | None) -> None:
            await ctx.call("cancel", self._cancel, name)

        agent.step(name)(book).compensate(cancel)

    async def _call(self, name: str) -> None:
        self.calls[name] += 1

    async def _book(self, name: str) -> None:
        await self._call(f"book {name}")
        self.booked.add(name)

    async def _cancel(self, name: str) -> None:
        await self._call(f"cancel {name}")
        self.booked.discard(name)


@dataclass(frozen=True)
class Ran:
    """How a run went."""

    outcome: tuple[str, str | None]
    undone: tuple[str, ...]
    booked: frozenset[str]
    calls: Counter[str]
    journaled_in: dict[str, int]
    entries: dict[str, int]
    struck: bool


def journaled(history: History) -> dict[str, int]:
    """Return in which run of its handler each call's result was first recorded."""
    runs: dict[str, int] = {}
    for event in history.of("call-journaled"):
        name, step = event.data["key"].partition("#")[0], event.data["step_id"]
        runs.setdefault("look" if step == "plan" else f"{name} {step}", event.data["run"])
    return runs


def run(log: str | None = None, entry: int = 0, *, before: bool = False) -> Ran:
    """Run the saga, with a crash at one entry of a log if given."""

    async def scenario() -> Ran:
        travel = Travel()
        async with TestMesh(travel.agent()) as mesh:
            begun = mesh.entries
            if log is not None:
                at = begun.get(log, 0) + entry
                mesh.kill_at_entry(log, at, before=before, restart_s=RESTART_S)
            saga = await mesh.submit("trips", "Oslo")
            ended = await saga.outcome(timeout_s=300)
            history: History = mesh.history(saga)
            done = {name: mesh.entries.get(name, 0) - begun.get(name, 0) for name in LOGS}
            return Ran(
                (ended.state, ended.failed_step),
                tuple(history.compensated),
                frozenset(travel.booked),
                travel.calls,
                journaled(history),
                done,
                any(point.struck for point in mesh._crash_points.points),
            )

    return simulate(scenario())


@pytest.fixture(scope="module")
def whole() -> Ran:
    """The run without a crash."""
    return run()


def test_the_reference_saga_does_what_it_should(whole: Ran) -> None:
    assert whole.outcome == ("compensated", "table")
    assert whole.undone == ("table", "hotel", "flight")
    assert whole.booked == frozenset()
    assert set(whole.calls.values()) == {1}
    assert len(whole.calls) == 6
    assert all(whole.entries[log] > 1 for log in LOGS)


@pytest.mark.timeout(900)
@pytest.mark.parametrize("before", [False, True], ids=["after it landed", "before it landed"])
@pytest.mark.parametrize("log", LOGS)
def test_a_crash_at_any_entry_changes_nothing(whole: Ran, log: str, before: bool) -> None:
    for entry in range(1, whole.entries[log] + 1):
        ran = run(log, entry, before=before)
        where = f"{log}, entry {entry} of {whole.entries[log]}"
        assert ran.struck, where
        assert (ran.outcome, ran.undone) == (whole.outcome, whole.undone), where
        assert ran.booked == whole.booked, where
        assert ran.calls.keys() == whole.calls.keys(), where
        assert ran.journaled_in.keys() == whole.calls.keys(), where
        cut_off = sum(run - 1 for run in ran.journaled_in.values())
        assert cut_off <= (log in WORKERS), where
        for call, count in ran.calls.items():
            assert count <= ran.journaled_in[call], f"{where}: {call} ran {count} times"
