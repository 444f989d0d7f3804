"""What the logs say of a saga, for tests: every accepted event, and the questions asked of them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from folkmoot.bus import connect
from folkmoot.runtime.reader import read_all


@dataclass(frozen=True)
class Happened:
    """One accepted event and where it stands."""

    log: str
    partition: int
    offset: int
    at: int
    type: str
    data: Mapping[str, Any]


@dataclass(frozen=True)
class History:
    """All accepted events of a bus, in order within each partition."""

    events: list[Happened]

    def of(self, *types: str, **fields: Any) -> list[Happened]:
        """Return the events of any of `types` whose data have `fields`."""
        return [
            event
            for event in self.events
            if event.type in types and all(event.data.get(k) == v for k, v in fields.items())
        ]

    def runs(self, saga_id: str, step_id: str, kind: str = "step") -> int:
        """How often a handler was entered for a step, or for its compensation."""
        return len(self.of("call-started", saga_id=saga_id, step_id=step_id, kind=kind))

    def finished(self, saga_id: str) -> list[str]:
        """The steps that succeeded, in the order in which they did."""
        succeeded = self.of("step-succeeded", saga_id=saga_id)
        return [event.data["step_id"] for event in succeeded]

    def undone(self, saga_id: str) -> list[str]:
        """The steps that were compensated, in the order in which they were."""
        return [event.data["step_id"] for event in self.of("step-compensated", saga_id=saga_id)]

    def plan(self, saga_id: str) -> dict[str, Mapping[str, Any]]:
        """The recorded plan, by step id. There is exactly one."""
        (recorded,) = self.of("plan-recorded", saga_id=saga_id)
        return {step["id"]: step for step in recorded.data["steps"]}


async def read_history(address: str) -> History:
    """Read every log of a bus up to its present end."""
    bus = await connect(address)
    try:
        events = []
        for topic, partitions in sorted((await bus.log.topics()).items()):
            if topic.endswith(".log"):
                for partition in range(partitions):
                    events += await _read(bus, topic, partition)
        return History(events)
    finally:
        await bus.close()


async def _read(bus: Any, topic: str, partition: int) -> list[Happened]:
    found = []
    for entry in await read_all(bus, topic, partition):
        for event in entry.events():
            name = event["type"].removeprefix("folkmoot.").rsplit(".v", 1)[0]
            found.append(Happened(topic, partition, entry.offset, entry.at, name, event["data"]))
    return found


def assert_finished_steps_ran_once(history: History, saga_id: str, killed: str) -> None:
    """No step that had ended was entered again, and only what a killed member ran was repeated."""
    for step_id in history.finished(saga_id):
        of_step = {"saga_id": saga_id, "step_id": step_id}
        (ended,) = history.of("call-ended", **of_step, status="succeeded")
        starts = history.of("call-started", **of_step, call_id=ended.data["call_id"])
        assert starts[-1].data["run"] == ended.data["run"], f"{step_id} began again after its end"
        cut_off = {start.data["member"] for start in starts[:-1]}
        assert cut_off <= {killed}, f"{step_id} was begun by {cut_off}, who did not die"


def assert_undone_in_reverse(history: History, saga_id: str) -> None:
    """Every scheduled compensable step was undone once, dependants before what they need."""
    plan = history.plan(saga_id)
    scheduled = {event.data["step_id"] for event in history.of("step-scheduled", saga_id=saga_id)}
    undone = history.undone(saga_id)
    expected = {step_id for step_id in scheduled & set(plan) if plan[step_id]["compensable"]}
    assert sorted(undone) == sorted(expected)
    place = {step_id: number for number, step_id in enumerate(undone)}
    for step_id in undone:
        for need in plan[step_id]["needs"]:
            if need in place:
                assert place[step_id] < place[need], f"{need} was undone before {step_id}"
