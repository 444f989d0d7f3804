"""What happened to one saga, as the logs have it, and assertions about that.

A failing assertion tells the whole story. `History.read` works on any bus, not only on a test's.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import orjson

from folkmoot.bus.ports import Bus, Stored
from folkmoot.core.messages import log
from folkmoot.core.saga.telling import tell
from folkmoot.runtime.reader import Accepted, EntryFilter, read_all

ENDS: Mapping[str, str] = {
    "saga-completed": "completed",
    "saga-compensated": "compensated",
    "saga-failed": "failed",
    "saga-terminated": "terminated",
    "task-refused": "refused",
}
"""The terminal state of a saga by the event that ends it."""

ORCHESTRATOR = log("saga-orchestrator")


@dataclass(frozen=True, slots=True)
class Happened:
    """An event, where it stands, and when that was, in milliseconds since the epoch.

    `type` is the wire name without what all have in common: `step-succeeded`.
    """

    at: int
    log: str
    partition: int
    offset: int
    type: str
    data: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class History:
    """All events of one saga, of every log, in the order of their times."""

    saga_id: str
    events: Sequence[Happened]

    @classmethod
    async def read(cls, bus: Bus, saga_id: str) -> History:
        """Read every log of a bus to its present end."""
        found: list[Happened] = []
        for topic, partitions in (await bus.log.topics()).items():
            if topic.endswith(".log"):
                for partition in range(partitions):
                    entries = await read_all(bus, topic, partition)
                    found += _events(topic, partition, entries, saga_id)
        return cls(saga_id, sorted(found, key=_order))

    @classmethod
    def of_records(
        cls, topics: Mapping[tuple[str, int], Sequence[Stored]], saga_id: str
    ) -> History:
        """Return what is in the records of logs, by topic and partition."""
        found: list[Happened] = []
        for (topic, partition), records in topics.items():
            if topic.endswith(".log"):
                entries = EntryFilter().accepted(records)
                found += _events(topic, partition, entries, saga_id)
        return cls(saga_id, sorted(found, key=_order))

    @classmethod
    def of_streams(cls, recorded: Iterable[Mapping[str, Any]]) -> History:
        """Return what is in events of the event store's streams, as the commands give them.

        They are one saga's own, and what workers did for it; of each event `stream` says which.
        """
        found = [_streamed(each) for each in recorded]
        assert found, "a history has at least one event"
        return cls(str(found[0].data["saga_id"]), sorted(found, key=_order))

    def save(self, path: Path) -> None:
        """Write it to a file, a line of JSON an event, for `load`."""
        path.write_bytes(b"".join(orjson.dumps(e) + b"\n" for e in self.events))

    @classmethod
    def load(cls, path: Path) -> History:
        """Return what was saved."""
        events = [Happened(**orjson.loads(line)) for line in path.read_bytes().splitlines()]
        assert events, f"{path} holds no events"
        return cls(str(events[0].data["saga_id"]), events)

    # -- what it holds ----------------------------------------------------------------------

    def of(self, *types: str, **fields: Any) -> list[Happened]:
        """Return the events of any of `types` (of all if none is given) that have `fields`."""
        return [
            event
            for event in self.events
            if (not types or event.type in types)
            and all(event.data.get(name) == value for name, value in fields.items())
        ]

    @property
    def state(self) -> str:
        """The terminal state, `open` if there is none."""
        ended = self.of(*ENDS)
        return ENDS[ended[-1].type] if ended else "open"

    @property
    def succeeded(self) -> list[str]:
        """The steps that succeeded, in the order in which they did, without the leader's hooks."""
        planned = self.plan
        done = [event.data["step_id"] for event in self.of("step-succeeded")]
        return [step_id for step_id in done if step_id.partition("[")[0] in planned]

    @property
    def compensated(self) -> list[str]:
        """The steps that were undone, in the order in which they were."""
        return [event.data["step_id"] for event in self.of("step-compensated")]

    @property
    def plan(self) -> dict[str, Mapping[str, Any]]:
        """The recorded plan, by step id; empty if there is none."""
        recorded = self.of("plan-recorded")
        return {step["id"]: step for step in recorded[0].data["steps"]} if recorded else {}

    def attempts(self, step_id: str, *, undo: bool = False) -> int:
        """Return how often a step, or undoing it, was begun by the orchestrator."""
        kind = "step-compensation-scheduled" if undo else "step-scheduled"
        return len(self.of(kind, step_id=step_id))

    def runs(self, step_id: str, *, undo: bool = False) -> int:
        """Return how often the handler of a step, or of its compensation, was entered."""
        started = self.of("call-started", step_id=step_id)
        return sum((event.data["kind"] == "compensate") == undo for event in started)

    def waits_s(self, step_id: str) -> list[float]:
        """Return the seconds from each attempt's end to the next one's beginning."""
        begun = [event.at for event in self.of("step-scheduled", step_id=step_id)]
        ended = [event.at for event in self.of("step-retry-scheduled", step_id=step_id)]
        pairs = zip(ended, begun[1:], strict=False)
        return [(next_at - end_at) / 1000 for end_at, next_at in pairs]

    # -- what a test expects ----------------------------------------------------------------

    def assert_ended(self, state: str) -> None:
        """It ended in this state: completed, compensated, failed, terminated or refused."""
        self._check(self.state == state, f"it is {self.state}, not {state}")

    def assert_succeeded(self, *step_ids: str) -> None:
        """These steps succeeded, in this order, and no others."""
        got = self.succeeded
        self._check(got == list(step_ids), f"succeeded: {_listed(got)}, not {_listed(step_ids)}")

    def assert_order(self, *step_ids: str) -> None:
        """These steps succeeded in this order, whatever others did."""
        got = [step_id for step_id in self.succeeded if step_id in step_ids]
        self._check(got == list(step_ids), f"the order was {_listed(got)}, not {_listed(step_ids)}")

    def assert_compensated(self, *step_ids: str) -> None:
        """These steps were undone, in this order, and no others; all of them if none is given.

        All of them are those that may have had an effect and can be undone, each after what
        depends on it.
        """
        if step_ids:
            got, wanted = self.compensated, list(step_ids)
            self._check(got == wanted, f"undone: {_listed(got)}, not {_listed(wanted)}")
        else:
            self._check_all_undone()

    def _check_all_undone(self) -> None:
        plan, got = self.plan, self.compensated
        begun = {event.data["step_id"] for event in self.of("step-scheduled")}
        wanted = [step_id for step_id in plan if step_id in begun and plan[step_id]["compensable"]]
        self._check(sorted(got) == sorted(wanted), f"undone: {_listed(got)}, not {_listed(wanted)}")
        place = {step_id: number for number, step_id in enumerate(got)}
        for step_id, need in ((s, n) for s in got for n in plan[s]["needs"] if n in place):
            earlier = place[step_id] < place[need]
            self._check(earlier, f"{need} was undone before {step_id}, which needs it")

    def assert_attempts(self, step_id: str, attempts: int, *, undo: bool = False) -> None:
        """A step, or undoing it, was begun this often."""
        got = self.attempts(step_id, undo=undo)
        self._check(got == attempts, f"{step_id} was attempted {got} times, not {attempts}")

    def assert_runs(self, step_id: str, runs: int, *, undo: bool = False) -> None:
        """The handler of a step, or of its compensation, was entered this often."""
        got = self.runs(step_id, undo=undo)
        self._check(got == runs, f"{step_id} ran {got} times, not {runs}")

    def _check(self, holds: bool, otherwise: str) -> None:
        if not holds:
            raise AssertionError(f"{otherwise}\n\n{self.story()}")

    def story(self) -> str:
        """Return all that the orchestrator recorded, a line an event, with seconds from begin."""
        told = [event for event in self.events if event.log == ORCHESTRATOR]
        if not told:
            return f"saga {self.saga_id}: nothing is recorded"
        began = told[0].at
        lines = (f"{(e.at - began) / 1000:>10.3f} s  {tell(e.type, e.data)}" for e in told)
        return "\n".join(itertools.chain([f"saga {self.saga_id}"], lines))


def _order(event: Happened) -> tuple[int, bool, str, int]:
    return event.at, event.log != ORCHESTRATOR, event.log, event.offset


def _streamed(recorded: Mapping[str, Any]) -> Happened:
    stream, event = recorded.get("stream", ""), recorded["event"]
    topic, partition = ORCHESTRATOR, 0
    if stream.startswith("work-"):
        _, worker, number = stream.rsplit("/", 2)
        topic, partition = log(worker), int(number)
    name = _short_name(event["type"])
    place = (topic, partition, recorded["offset"])
    return Happened(recorded["at"], *place, name, event["data"])


def _short_name(event_type: str) -> str:
    return event_type.removeprefix("folkmoot.").rsplit(".v", 1)[0]


def _events(
    topic: str, partition: int, entries: Iterable[Accepted], saga_id: str
) -> Iterator[Happened]:
    for entry in entries:
        for event in entry.events():
            if event["data"].get("saga_id") == saga_id:
                name = _short_name(event["type"])
                yield Happened(entry.at, topic, partition, entry.offset, name, event["data"])


def _listed(step_ids: Sequence[str]) -> str:
    return ", ".join(step_ids) or "none"
