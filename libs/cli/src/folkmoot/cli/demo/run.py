"""Runs the demo on a platform: submits the job, watches it, does the harm that was asked for."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import shutil
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Protocol

from rich.live import Live

from folkmoot.bus.ports import Bus
from folkmoot.cli.demo.options import DemoOptions
from folkmoot.cli.demo.platforms import DATABASE, platform
from folkmoot.cli.demo.screen import draw, short
from folkmoot.cli.demo.view import HOOKS, View
from folkmoot.cli.demo.watch import Watcher
from folkmoot.cli.output import CommandError, console
from folkmoot.dossier.agents import TEAM
from folkmoot.dossier.models import Task
from folkmoot.sdk.client import Client
from folkmoot.sdk.errors import SagaFailed
from folkmoot.sdk.knowledge import read_all

REFRESH_PER_SECOND = 12
KNOWLEDGE_EVERY_S = 0.5
HARM_POLL_S = 0.005
CALLS_LEFT = 2
"""Calls that a step has still to make when its member is killed late."""

NOTE = "demo.json"
"""What was asked for, kept while a demo runs, so that `--resume` can go on with it."""

TIMEOUT_S = 300.0
"""No demo takes so long; beyond it something is wrong, and saying so beats waiting."""


class Platform(Protocol):
    """Where the demo runs: in this process, or in processes of their own."""

    @property
    def bus(self) -> Bus:
        """The bus of the platform, connected."""
        ...

    async def kill(self, member: str) -> None:
        """Crash the process of a member, by its id as it stands in the log."""
        ...


@dataclass
class Outcome:
    """What came of it."""

    view: View
    counters: dict[str, int] = field(default_factory=dict)
    facts: int = 0
    killed: str | None = None

    def to_json(self) -> dict[str, Any]:
        """Return what `--json` writes."""
        report = self.view.result["html"] if self.view.state == "completed" else None
        return {
            **self.view.to_json(),
            "counters": self.counters,
            "facts": self.facts,
            "report": report,
        }


class Demo:
    """One run of the job."""

    def __init__(self, platform: Platform, options: DemoOptions, key: str) -> None:
        self._platform, self._options, self._key = platform, options, key
        self._view = View(TEAM)
        self._outcome = Outcome(self._view)
        self._changed = asyncio.Event()
        self._notice = ""

    async def run(self) -> Outcome:
        """Submit the job and follow it to its end.

        Raises:
            CommandError: it did not end in time.
        """
        bus = self._platform.bus
        watcher = Watcher(bus, self._view, self._changed.set)
        async with Client.on(bus) as client, _beside(watcher.run(), self._know(bus), self._harm()):
            saga = await client.submit(TEAM, self._task(), idempotency_key=self._key)
            watcher.watch(saga.saga_id)
            with self._screen() as live:
                drawing = asyncio.create_task(self._redraw(live))
                try:
                    async with asyncio.timeout(TIMEOUT_S):
                        with contextlib.suppress(SagaFailed):
                            await saga.result()
                        await self._settled()
                except TimeoutError:
                    raise CommandError(
                        f"saga {saga.saga_id} did not end within {TIMEOUT_S:g} s; "
                        f"`folkmoot sagas show {saga.saga_id}` says what it waits for"
                    ) from None
                finally:
                    drawing.cancel()
                await self._count(bus)
                live.update(self._picture(), refresh=True)
        return self._outcome

    def _task(self) -> Task:
        options = self._options
        return Task(
            out=str(options.out.absolute()),
            shards=options.shards,
            fail=options.fail,
            flaky=options.flaky,
            pace_ms=options.pace_ms,
        )

    async def _settled(self) -> None:
        """Wait until the view has seen the end as well."""
        while not self._view.ended:
            self._changed.clear()
            await self._changed.wait()

    # -- what is shown ----------------------------------------------------------------------

    def _screen(self) -> Live:
        return Live(self._picture(), console=console, auto_refresh=False, transient=False)

    def _picture(self) -> Any:
        knowledge = {"facts": self._outcome.facts, **self._outcome.counters}
        return draw(self._view, knowledge, self._notice)

    async def _redraw(self, live: Live) -> None:
        while True:
            live.update(self._picture(), refresh=console.is_terminal)
            await asyncio.sleep(1 / REFRESH_PER_SECOND)

    async def _know(self, bus: Bus) -> None:
        while True:
            await self._count(bus)
            await asyncio.sleep(KNOWLEDGE_EVERY_S)

    async def _count(self, bus: Bus) -> None:
        """Read what the team knows together, as it is kept in the log."""
        documents = await read_all(bus.log)
        facts, counters = _counted(documents, self._view.saga_id)
        self._outcome.facts, self._outcome.counters = facts, counters

    # -- the harm that was asked for --------------------------------------------------------

    async def _harm(self) -> None:
        """Kill whom the options name, once steps run."""
        if self._options.kill is None:
            return
        while (victim := self._victim()) is None:
            await asyncio.sleep(HARM_POLL_S)
        self._outcome.killed = victim
        self._notice = f"killed {short(victim)}, the {self._options.kill}, without a word"
        await self._platform.kill(victim)

    def _victim(self) -> str | None:
        """Return whom to kill: a worker that does not lead, unless the leader does all the work."""
        running = [
            step
            for step in self._view.steps.values()
            if step.state == "running"
            and step.kind not in HOOKS
            and (step.journaled >= step.calls - CALLS_LEFT or not self._options.late)
        ]
        leader = self._view.leader
        if not running or leader is None:
            return None
        if self._options.kill == "leader":
            return leader.member
        others = [step.member for step in running if step.member != leader.member]
        if others:
            return others[0]
        alone = any(step.journaled for step in running)
        return running[0].member if alone else None


def _counted(documents: Mapping[str, Any], saga_id: str | None) -> tuple[int, dict[str, int]]:
    facts, counters = 0, {}
    for name, crdt in documents.items():
        if isinstance(crdt.value, int):
            counters[name] = crdt.value
        elif saga_id is not None:
            facts += len(crdt.tagged(saga_id))
    return facts, counters


@contextlib.asynccontextmanager
async def _beside(*works: Any) -> AsyncIterator[None]:
    """Run `works` beside the block; a failure of theirs ends it."""
    async with asyncio.TaskGroup() as tasks:
        running = [tasks.create_task(work) for work in works]
        yield
        for task in running:
            task.cancel()


async def perform(options: DemoOptions) -> Outcome:
    """Run the demo that was asked for, from start to end.

    Raises:
        CommandError: there is nothing to resume, or it did not end in time.
        BusError: the bus cannot be used.
        LocalError: the local brokers cannot be started.
    """
    note = options.data / NOTE
    if options.resume:
        options, key = _interrupted(options, note)
    else:
        key = os.urandom(8).hex()
        _begin(options, note, key)
    async with platform(options) as running:
        outcome = await Demo(running, options, key).run()
    note.unlink(missing_ok=True)
    if options.kill is not None and outcome.killed is None:
        raise CommandError(
            f"the job ended before the {options.kill} could be killed: run the demo again"
        )
    return outcome


def _begin(options: DemoOptions, note: Path, key: str) -> None:
    """Start from nothing, and note how to go on if this is interrupted."""
    options.data.mkdir(parents=True, exist_ok=True)
    if options.bus == "embedded":
        for path in options.data.glob(f"{DATABASE}*"):
            if path.is_dir():  # the values that are too large for the file
                shutil.rmtree(path)
            else:
                path.unlink()
    asked: dict[str, object] = {
        "key": key,
        "out": str(options.out.absolute()),
        "fail": options.fail,
    }
    asked |= {"flaky": options.flaky, "kill": options.kill, "bus": options.bus}
    note.write_text(json.dumps(asked))


def _interrupted(options: DemoOptions, note: Path) -> tuple[DemoOptions, str]:
    try:
        asked = json.loads(note.read_text())
    except OSError:
        raise CommandError(
            f"there is no interrupted demo in {options.data}: start one with `folkmoot demo`"
        ) from None
    again = replace(
        options,
        out=Path(asked["out"]),
        fail=asked["fail"],
        flaky=asked["flaky"],
        kill=None,
        bus=asked["bus"],
    )
    return again, asked["key"]
