"""The state of a breaker shard: its targets, each with its breaker, its calls and its queue."""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass, field
from typing import Literal

from folkmoot.core.breaker.window import Window
from folkmoot.core.deadlines import Deadlines
from folkmoot.core.messages import Call
from folkmoot.core.shares import Limit
from folkmoot.core.turns import Turns

Phase = Literal["closed", "open", "half-open"]

ROUTES_REMEMBERED_MAX = 1_000
"""Steps of one target whose last partition is remembered until they succeed. Whoever is forgotten
may only meet the partition again on which it failed."""

DEFAULT_BUCKET_MS = 1_000
DEFAULT_BUCKETS = 10
"""The window's shape before the first leader shapes it; it may not come from settings, because
every member must begin with the same state."""


@dataclass(slots=True)
class Circuit:
    """A breaker. Each transition begins a generation; `probe` is a call, set while half-open."""

    window: Window
    since: int
    phase: Phase = "closed"
    reason: str = "registered"
    generation: int = 0
    retry_at: int = 0
    openings: int = 0
    consecutive: int = 0
    probe: str | None = None

    def enter(self, phase: Phase, reason: str, at: int) -> None:
        """Go over into another phase, and so into another generation."""
        self.phase, self.reason, self.since = phase, reason, at
        self.generation += 1
        self.probe = None


@dataclass(slots=True)
class Flight:
    """A call that a worker has. `step` is the same for every attempt of the same thing.

    `key` is that of the gate that it passed, if its step has a limit.
    """

    partition: int
    generation: int
    step: str
    cancelled: bool = False
    key: str = ""


@dataclass(slots=True)
class Gate:
    """A limit in use: the calls under way, those that wait, and when the last of them began."""

    in_flight: int = 0
    waiting: int = 0
    starts: list[int] = field(default_factory=list)


@dataclass(slots=True)
class Totals:
    """What became of all calls so far: admitted = ended + expired + in flight."""

    admitted: int = 0
    ended: int = 0
    expired: int = 0
    refused: int = 0


@dataclass(slots=True)
class Target:
    """An agent. `loads` counts the calls in flight per partition; `turn` is who is next in turn.

    `loads` never shrinks: calls may be in flight on partitions that are used no more. `turns` says
    in which order the `queue` is served. `members` are those who answered last, by partition,
    `failed` those at whom a step has failed, until it succeeds. `gates` are those of its `limits`
    that are in use, `held` the calls of the queue that have to pass one; see
    `folkmoot.core.breaker.limiting`.
    """

    name: str
    circuit: Circuit
    team: str = ""
    partitions: int = 0
    concurrency: int = 0
    steps: tuple[str, ...] = ()
    loads: list[int] = field(default_factory=list)
    turn: int = 0
    flights: dict[str, Flight] = field(default_factory=dict)
    queue: OrderedDict[str, Call] = field(default_factory=OrderedDict)
    turns: Turns = field(default_factory=Turns)
    routes: OrderedDict[str, int] = field(default_factory=OrderedDict)
    totals: Totals = field(default_factory=Totals)
    members: dict[str, str] = field(default_factory=dict)
    failed: OrderedDict[str, dict[str, None]] = field(default_factory=OrderedDict)
    limits: tuple[Limit, ...] = ()
    gates: dict[str, Gate] = field(default_factory=dict)
    held: dict[str, str] = field(default_factory=dict)

    def remember_failure(self, step: str, partition: int) -> None:
        """Note at whom the step has failed, as far as that is known."""
        member = self.members.get(str(partition))
        if member is None:
            return
        self.failed.setdefault(step, {})[member] = None
        self.failed.move_to_end(step)
        if len(self.failed) > ROUTES_REMEMBERED_MAX:
            self.failed.popitem(last=False)

    def remember_route(self, step: str, partition: int) -> None:
        """Note who took the step, in case that it fails there."""
        self.routes[step] = partition
        self.routes.move_to_end(step)
        if len(self.routes) > ROUTES_REMEMBERED_MAX:
            self.routes.popitem(last=False)


@dataclass(slots=True)
class BreakerState:
    """All targets. `places` says for each open call whose it is, `deadlines` when it ends.

    `openings` are the times at which gates let those who wait there begin again.
    """

    bucket_ms: int = DEFAULT_BUCKET_MS
    buckets: int = DEFAULT_BUCKETS
    targets: dict[str, Target] = field(default_factory=dict)
    places: dict[str, str] = field(default_factory=dict)
    deadlines: Deadlines = field(default_factory=Deadlines)
    openings: Deadlines = field(default_factory=Deadlines)

    def new_window(self) -> Window:
        """Return an empty window of the shape in force."""
        return Window(self.bucket_ms, self.buckets)

    def open_call(self, call_id: str, target: str, deadline: int) -> None:
        """Note that a call is in flight or queued, and when it is over at the latest."""
        self.places[call_id] = target
        self.deadlines.set(call_id, deadline)

    def close_call(self, call_id: str) -> None:
        """Forget a call that is neither any more."""
        self.places.pop(call_id, None)
        self.deadlines.drop(call_id)
