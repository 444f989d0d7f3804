"""What a machine is: the part in which the five services differ.

A machine is three functions. `decide` turns an input into events and changes nothing; `apply`
folds an event into the state and says what must be sent; `due` says when it next wants a `Tick`.
The leader decides, everybody applies, so only `apply` must be the same on every member: it may
depend on the state, the event and its position, and on nothing else. What differs between members
(settings, the clock) may only be used by `decide`, whose outcome is recorded.

A state is changed in place by `apply` and belongs to one shard. It is a dataclass, for snapshots:
its fields are JSON values, dictionaries with strings for keys, ordered collections, and further
such dataclasses, each object in one place only; what only serves to find these faster is a private
field that `__post_init__` makes. A state whose meaning changes gets a higher `VERSION`, as events
do (`folkmoot.core.names`).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple, Protocol, TypeVar

S = TypeVar("S")


@dataclass(frozen=True, slots=True)
class Tick:
    """Input: log time has reached what `due` asked for."""


@dataclass(frozen=True, slots=True)
class Led:
    """Input: `member` begins to lead; what its predecessor had running is running no more."""

    member: str
    term: int


class Position(NamedTuple):
    """Where an event stands: its entry's offset and log time in milliseconds since the epoch."""

    offset: int
    at: int


@dataclass(frozen=True, slots=True)
class Send:
    """Effect: `message` reaches `topic` and is acted on once, whoever leads by then.

    The partition is `partition`, or follows from `key` as Kafka's producers compute it.
    A `message` of None is a tombstone for `key`.
    """

    topic: str
    message: object | None
    key: str | None = None
    partition: int | None = None


@dataclass(frozen=True, slots=True)
class Local:
    """Effect for the process that leads now, such as starting a handler or an announcement.

    It is lost with the leader; a machine that needs it done starts it again on `Led`.
    """

    request: object


Effect = Send | Local


class Refused(Exception):
    """`decide` cannot accept an input. It becomes a dead letter and changes nothing else."""

    def __init__(self, reason: str, detail: str) -> None:
        super().__init__(f"{reason}: {detail}")
        self.reason = reason
        self.detail = detail


class Tampered(Exception):
    """What a log holds is not what was recorded: whoever reads it stops rather than believe it.

    An event that can tell has a method `verify`, which raises this.
    """


class Machine(Protocol[S]):
    """The contract that the kernel drives."""

    @property
    def name(self) -> str:
        """The service's name, as in its topics."""
        ...

    @property
    def inputs(self) -> Mapping[str, type]:
        """The messages it takes, by wire name."""
        ...

    @property
    def events(self) -> Mapping[str, type]:
        """The events it decides, by wire name."""
        ...

    @property
    def outputs(self) -> Mapping[str, type]:
        """The messages it sends, by wire name: a snapshot holds those not yet acknowledged."""
        ...

    def initial(self) -> S:
        """Return the state before the first event."""
        ...

    def decide(self, state: S, message: object, now: int) -> Sequence[object]:
        """Return the events that `message` brings about, none if it changes nothing.

        Raises:
            Refused: the message cannot be accepted.
        """
        ...

    def apply(self, state: S, event: object, position: Position) -> Sequence[Effect]:
        """Fold `event` into `state` and return its effects, in the order to emit them."""
        ...

    def due(self, state: S) -> int | None:
        """Return the time at which a `Tick` is wanted, None for never. Must be cheap."""
        ...
