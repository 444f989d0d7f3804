"""What is left when all is over: the logs, the published results and the files of effects."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path
from typing import Any, NamedTuple

from folkmoot.bus import Bus, Stored
from folkmoot.core.messages import TASK_RESULTS, log
from tests.chaos.ledger import Effect, Ledger, read_effects
from tests.chaos.rule import Counted, counted

READ_RECORDS_MAX = 5_000
ENDS = {
    "folkmoot.saga-completed.v1": "completed",
    "folkmoot.saga-compensated.v1": "compensated",
    "folkmoot.saga-failed.v1": "failed",
    "folkmoot.task-refused.v1": "refused",
}


class Stall(NamedTuple):
    """For `lasted_s` nothing that counts was written, from `at_s` after the beginning."""

    lasted_s: float
    at_s: float


@dataclass
class Evidence:
    """Everything that a judge looks at.

    `ends` and `plans` are, by saga, the ends and the number of plans that the orchestrator's logs
    tell of; `rejoined` says how often a saga's result was asked for again. `results` holds the
    different published results by CloudEvent. `appends` counts the events that stand in the event
    store, by request; `versions` has those of each stream in order. `stalls` has the longest of
    each shard, and `changes` how often its leader changed.
    """

    effects: Sequence[Effect] = ()
    tries: Sequence[Effect] = ()
    ends: dict[str, list[str]] = field(default_factory=dict)
    plans: dict[str, int] = field(default_factory=dict)
    rejoined: dict[str, int] = field(default_factory=dict)
    results: dict[str, dict[tuple[str, str], Mapping[str, Any]]] = field(default_factory=dict)
    appends: Counter[str] = field(default_factory=Counter)
    versions: dict[str, list[int]] = field(default_factory=dict)
    stalls: dict[str, Stall] = field(default_factory=dict)
    changes: dict[str, int] = field(default_factory=dict)

    def take_entry(self, events: Sequence[Mapping[str, Any]]) -> None:
        """Note what an entry of the orchestrator says about sagas."""
        for event in events:
            saga_id = event["data"].get("saga_id")
            if (end := ENDS.get(event["type"])) is not None:
                self.ends.setdefault(saga_id, []).append(end)
            elif event["type"] == "folkmoot.plan-recorded.v1":
                self.plans[saga_id] = self.plans.get(saga_id, 0) + 1
            elif event["type"] == "folkmoot.task-rejoined.v1":
                self.rejoined[saga_id] = self.rejoined.get(saga_id, 0) + 1

    def take_append(self, events: Sequence[Mapping[str, Any]]) -> None:
        """Note what an entry of the event store says about streams."""
        for event in events:
            if event["type"] == "folkmoot.events-appended.v1":
                said = event["data"]
                self.appends[said["request_id"]] += len(said["events"])
                self.versions.setdefault(said["stream"], []).append(said["first_version"])

    def take_result(self, event: Mapping[str, Any]) -> None:
        """Note a published result."""
        told = self.results.setdefault(event["data"]["saga_id"], {})
        told[event["source"], event["id"]] = event["data"]


async def gather(bus: Bus, ledger: Ledger, began_ms: int) -> Evidence:
    """Read all of it, up to its present end. Stalls are counted from `began_ms`."""
    found = Evidence(read_effects(ledger.path), read_effects(ledger.tries_path))
    for topic, partitions in sorted((await bus.log.topics()).items()):
        for partition in range(partitions):
            if topic.endswith(".log"):
                records = list(counted(await read(bus, topic, partition)))
                _take_shard(found, f"{topic}/{partition}", records, began_ms)
                for record in records:
                    if topic == log("saga-orchestrator"):
                        found.take_entry(record.events)
                    elif topic == log("event-store"):
                        found.take_append(record.events)
            elif topic == TASK_RESULTS:
                for stored in await read(bus, topic, partition):
                    found.take_result(json.loads(stored.value or b"{}"))
    return found


def _take_shard(found: Evidence, shard: str, records: Sequence[Counted], began_ms: int) -> None:
    times = [began_ms, *(r.written_at for r in records if r.written_at > began_ms)]
    stalls = (Stall((b - a) / 1000, (a - began_ms) / 1000) for a, b in pairwise(times))
    found.stalls[shard] = max(stalls, default=Stall(0, 0))
    leaders = [record.leader for record in records if record.written_at > began_ms]
    found.changes[shard] = sum(a != b for a, b in pairwise(leaders))


async def read(bus: Bus, topic: str, partition: int) -> list[Stored]:
    """Return every record of a partition up to its present end."""
    end = await bus.log.end_offset(topic, partition)
    tail = await bus.log.tail(topic, partition, 0)
    records: list[Stored] = []
    try:
        while tail.position < end:
            records += await tail.read(READ_RECORDS_MAX, 1_000)
    finally:
        await tail.close()
    return records


def ledger_in(folder: Path) -> Ledger:
    """Return the ledger of a run."""
    return Ledger(folder / "effects.jsonl")
