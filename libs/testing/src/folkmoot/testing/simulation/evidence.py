"""What a run leaves behind, and what an independent reader makes of it.

Nothing here asks a replica what it meant to do: logs are read as bytes, by the rule of `rule.py`,
and the machines' `apply` gives what each accepted entry brought about.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from hashlib import blake2b
from typing import Any, NamedTuple

import orjson

from folkmoot.bus.ports import Stored
from folkmoot.contracts.codec import CONTROL, decode_record
from folkmoot.core.kernel import InputRejected, Mark, Position, Send
from folkmoot.core.kernel.machine import Machine
from folkmoot.core.kernel.rejection import dead_letter
from folkmoot.runtime.seat import ShardName
from folkmoot.testing.simulation.rule import Ruling, rulings


def digest(state: object) -> str:
    """Return a short name for everything that a machine's state says of itself."""
    return blake2b(repr(state).encode(), digest_size=8).hexdigest()


class Sample(NamedTuple):
    """What a member knew when it had read a shard's log up to `offset`, not included."""

    member: str
    offset: int
    holder: str | None
    term: int
    last: int
    state: str
    pending: tuple[Mark, ...]


class Done(NamedTuple):
    """A local request that a member acted on."""

    member: str
    request: Any


@dataclass
class Sent:
    """An input that somebody sent, and whether it was acknowledged."""

    item: str
    outcome: str
    acknowledged: bool = False


class Act(NamedTuple):
    """What took effect in the world outside: `verb` is `do` or `undo`."""

    verb: str
    saga_id: str
    step_id: str
    member: str


@dataclass
class Observations:
    """What was seen while the world ran, besides its logs."""

    samples: dict[str, list[Sample]] = field(default_factory=lambda: defaultdict(list))
    done: dict[str, list[Done]] = field(default_factory=lambda: defaultdict(list))
    sent: dict[str, dict[str, Sent]] = field(default_factory=lambda: defaultdict(dict))
    tasks: dict[str, list[dict[str, Any]]] = field(default_factory=dict)
    """The steps of each task that was acknowledged, by saga."""
    notes: list[str] = field(default_factory=list)
    """The requests to append to a stream that were acknowledged."""
    acts: list[Act] = field(default_factory=list)
    indexes: dict[str, Any] = field(default_factory=dict)
    """What the index of each event store held in the end."""
    troubles: list[str] = field(default_factory=list)
    """What must never happen, as it was seen: an invariant and a sentence."""


class Accepted(NamedTuple):
    """An entry that counts, its events, and the effects that follow from it."""

    offset: int
    at: int
    events: tuple[object, ...]
    consumed: Mapping[str, int]
    effects: Sequence[Send]


@dataclass
class ShardEvidence:
    """One shard's log as an independent reader sees it."""

    name: ShardName
    machine: Machine[Any]
    records: Sequence[Stored]
    controls: list[dict[str, Any]]
    rulings: list[Ruling]
    accepted: list[Accepted] = field(default_factory=list)
    states: dict[int, str] = field(default_factory=dict)
    """Digests by the number of records read, where somebody asked."""


def examine(
    name: ShardName,
    machine: Machine[Any],
    records: Sequence[Stored],
    wanted: Sequence[int],
) -> ShardEvidence:
    """Read a shard's log from zero, and keep the state's digest after `wanted` records."""
    controls = [orjson.loads(dict(stored.headers)[CONTROL]) for stored in records]
    found = ShardEvidence(name, machine, records, controls, list(rulings(controls)))
    state, asked = machine.initial(), set(wanted)
    for offset, ruling in enumerate(found.rulings):
        if offset in asked:
            found.states[offset] = digest(state)
        if ruling.counts and controls[offset]["kind"] == "entry":
            found.accepted.append(_take_in(machine, state, records[offset], controls[offset]))
    found.states[len(records)] = digest(state)
    return found


def _take_in(
    machine: Machine[Any], state: Any, stored: Stored, control: Mapping[str, Any]
) -> Accepted:
    entry: Any = decode_record(stored.value, stored.headers, machine.events)
    position = Position(stored.offset, control["at"])
    effects: list[Send] = []
    for event in entry.events:
        if isinstance(event, InputRejected):
            effects.append(dead_letter(event))
        else:
            made = machine.apply(state, event, position)
            effects += [effect for effect in made if isinstance(effect, Send)]
    return Accepted(
        stored.offset, control["at"], entry.events, control.get("consumed", {}), effects
    )


@dataclass
class Evidence:
    """Everything that the checkers may look at."""

    shards: dict[str, ShardEvidence]
    topics: Mapping[tuple[str, int], Sequence[Stored]]
    counts: Mapping[str, int]
    seen: Observations


class Violation(NamedTuple):
    """An invariant that does not hold, and how that shows."""

    invariant: str
    detail: str

    def __str__(self) -> str:
        return f"{self.invariant}: {self.detail}"


Checker = Callable[[Evidence], list[Violation]]
