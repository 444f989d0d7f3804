"""The simplest machine that uses all of the kernel: it keeps items and passes them on.

Every item names itself, and every item passed on names the entry that passed it, so that a log
alone says what was decided, how often, and on whose word.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from folkmoot.core.deadlines import Deadlines
from folkmoot.core.kernel import Effect, Led, Local, Position, Refused, Send, Tick
from folkmoot.core.names import by_wire_name

TIMERS_MAX = 20
"""Alarms that ring in one entry."""


@dataclass(frozen=True, slots=True)
class Put:
    """Keep `item`, pass it on as `copies` messages, and ring after `alarm_ms` if given.

    `refuse`, `break_` and `ignore` say what deciding it is to come to instead; `noted` that it is
    kept, and that a machine which is not outdated notes it besides.
    """

    item: str
    copies: int = 1
    alarm_ms: int | None = None
    outcome: str = "kept"


@dataclass(frozen=True, slots=True)
class Passed:
    """An item on its way, from the entry at `offset` of the shard `origin`."""

    item: str
    origin: str
    offset: int
    copy: int


@dataclass(frozen=True, slots=True)
class Kept:
    """An item was put here."""

    item: str
    copies: int
    alarm_at: int | None


@dataclass(frozen=True, slots=True)
class Noted:
    """An item that was kept is noted, which an outdated machine knows nothing of."""

    item: str


@dataclass(frozen=True, slots=True)
class Taken:
    """An item came from another shard."""

    item: str
    origin: str
    offset: int
    copy: int


@dataclass(frozen=True, slots=True)
class Rang:
    """Alarms were due."""

    items: tuple[str, ...]
    at: int


@dataclass(frozen=True, slots=True)
class Began:
    """A leader began."""

    member: str
    term: int


@dataclass(frozen=True, slots=True)
class Did:
    """Local request: what a leader does by itself once an item is kept."""

    item: str
    offset: int


@dataclass(slots=True)
class Items:
    """What a shard of it knows."""

    kept: dict[str, int] = field(default_factory=dict)
    taken: dict[str, int] = field(default_factory=dict)
    alarms: Deadlines = field(default_factory=Deadlines)
    rang: dict[str, int] = field(default_factory=dict)
    leaders: list[str] = field(default_factory=list)
    noted: list[str] = field(default_factory=list)


class RelayMachine:
    """Passes items on to the topic `to`: by key, so to any of its partitions."""

    inputs: Mapping[str, type] = by_wire_name(Put, Passed)
    events: Mapping[str, type] = by_wire_name(Kept, Noted, Taken, Rang, Began)
    outputs: Mapping[str, type] = by_wire_name(Passed)

    def __init__(self, name: str, origin: str, to: str, *, outdated: bool = False) -> None:
        self.name, self._origin, self._to = name, origin, to
        self._outdated = outdated
        if outdated:
            self.events = by_wire_name(Kept, Taken, Rang, Began)

    def initial(self) -> Items:
        """See the contract."""
        return Items()

    def decide(self, state: Items, message: object, now: int) -> Sequence[object]:
        """See the contract."""
        match message:
            case Put(outcome="refuse", item=item):
                raise Refused("unwanted", item)
            case Put(outcome="break", item=item):
                raise ValueError(item)
            case Put(outcome="ignore"):
                return []
            case Put(item, copies, alarm_ms, outcome):
                kept = Kept(item, copies, None if alarm_ms is None else now + alarm_ms)
                is_noted = outcome == "noted" and not self._outdated
                return [kept, Noted(item)] if is_noted else [kept]
            case Passed(item, origin, offset, copy):
                return [Taken(item, origin, offset, copy)]
            case Tick():
                due = tuple(state.alarms.due(now, TIMERS_MAX))
                return [Rang(due, now)] if due else []
            case Led(member, term):
                return [Began(member, term)]
        raise Refused("unknown-message", repr(message))

    def apply(self, state: Items, event: object, position: Position) -> Sequence[Effect]:
        """See the contract."""
        match event:
            case Kept(item, copies, alarm_at):
                return self._keep(state, item, copies, alarm_at, position)
            case Taken(item, origin, offset, copy):
                name = f"{item} {origin} {offset}.{copy}"
                state.taken[name] = state.taken.get(name, 0) + 1
            case Rang(items, at):
                for item in items:
                    state.alarms.drop(item)
                    state.rang[item] = at
                return [self._pass(f"{item} rang", position, n) for n, item in enumerate(items)]
            case Began(member, _):
                state.leaders.append(member)
            case Noted(item):
                state.noted.append(item)
        return []

    def _keep(
        self, state: Items, item: str, copies: int, alarm_at: int | None, position: Position
    ) -> Sequence[Effect]:
        state.kept[item] = state.kept.get(item, 0) + 1
        if alarm_at is not None:
            state.alarms.set(item, alarm_at)
        sends = [self._pass(item, position, copy) for copy in range(copies)]
        return [Local(Did(item, position.offset)), *sends]

    def _pass(self, item: str, position: Position, copy: int) -> Send:
        passed = Passed(item, self._origin, position.offset, copy)
        return Send(self._to, passed, key=f"{item}/{copy}")

    def due(self, state: Items) -> int | None:
        """See the contract."""
        return state.alarms.earliest()
