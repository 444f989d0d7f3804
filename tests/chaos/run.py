"""One run: start everything, let things go wrong under load, let them heal, and judge."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections import Counter
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from folkmoot.bus import connect
from folkmoot.runtime.clock import SystemClock
from tests.chaos.evidence import Evidence, gather, ledger_in
from tests.chaos.faults import Injector
from tests.chaos.judge import Verdict, judge
from tests.chaos.load import Load, Submitted
from tests.chaos.platform import Platform, Size, running
from tests.chaos.schedule import KINDS, Fault, Kind, schedule

READY_WITHIN_S = 30.0
"""For every process to be ready once all else has healed."""


@dataclass(frozen=True)
class Options:
    """What to run. Durations in seconds; one fault each `every_s` on average."""

    folder: Path
    seed: int
    seconds: float
    every_s: float = 2.5
    per_second: float = 4.0
    size: Size = field(default_factory=Size)
    fenced: bool = True
    only: Collection[Kind] = KINDS
    heal_within_s: float = 90.0

    def schedule(self) -> Sequence[Fault]:
        """Return the faults to come."""
        nodes = self.size.nodes
        return schedule(self.seed, self.seconds, nodes, self.every_s, self.only)


@dataclass(frozen=True)
class Healing:
    """How long after the last fault the last saga ended, and the last append was answered."""

    sagas_s: float
    appends_s: float


@dataclass(frozen=True)
class Outcome:
    """What a run came to."""

    options: Options
    faults: Counter[str]
    missed: Counter[str]
    submitted: Mapping[str, Submitted]
    appended: Collection[str]
    states: Counter[str]
    healing: Healing
    evidence: Evidence
    verdict: Verdict

    @property
    def sagas(self) -> int:
        """How many sagas were acknowledged."""
        return len(self.submitted)


async def run(options: Options, tell: Callable[[str], None] = lambda _line: None) -> Outcome:
    """Run and judge."""
    ledger = ledger_in(options.folder)
    began = time.monotonic()
    async with running(options.folder, options.size, ledger, fenced=options.fenced) as platform:
        tell(f"everything runs after {time.monotonic() - began:.1f} s")
        bus = await connect(platform.address)
        try:
            began_ms = SystemClock().now()
            load = Load(bus, options.seed, options.per_second)
            injector = Injector(platform, tell)
            healing = await _afflict(platform, options, load, injector)
            unready = await platform.complaints(READY_WITHIN_S)
            found = await gather(bus, ledger, began_ms)
        finally:
            await bus.close()
    verdict = judge(load.submitted, found, load.asked)
    verdict.wrong += unready
    states = Counter(end for saga in load.submitted for end in found.ends.get(saga, ["open"]))
    return Outcome(
        options,
        injector.done,
        injector.missed,
        load.submitted,
        load.answered,
        states,
        healing,
        found,
        verdict,
    )


async def _afflict(platform: Platform, options: Options, load: Load, injector: Injector) -> Healing:
    """Inject all faults under load, and wait until all that was asked is done."""
    enough = asyncio.Event()
    loading = asyncio.create_task(load.run(enough))
    await injector.run(options.schedule())
    enough.set()
    healing = await _healed(load, options.heal_within_s)
    loading.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await loading
    return healing


async def _healed(load: Load, within_s: float) -> Healing:
    began, sagas_s, appends_s, passed_s = time.monotonic(), 0.0, 0.0, 0.0
    while (load.open_sagas or load.open_appends) and passed_s < within_s:
        await asyncio.sleep(0.1)
        passed_s = time.monotonic() - began
        sagas_s = passed_s if load.open_sagas else sagas_s
        appends_s = passed_s if load.open_appends else appends_s
    return Healing(sagas_s, appends_s)
