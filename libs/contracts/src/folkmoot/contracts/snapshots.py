"""The bytes of a shard's snapshot: lines of JSON, each of bounded work.

The first line says what the kernel knows, then come the pending effects, then the state, field by
field. A large field is cut into many lines, so that neither writing nor reading it keeps an event
loop for long.

Nobody has to remember to raise a number when a state gets another field: `schema_of` names the
exact shape of what is written, and a snapshot of another shape is passed over.

Invariants:

- Equal shards have equal bytes, and so equal hashes (I3, I8).
- What was read equals what was written.
"""

from __future__ import annotations

from collections import OrderedDict, deque
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import fields, is_dataclass
from functools import lru_cache
from hashlib import sha256
from itertools import islice
from typing import Any, Generic, get_args, get_origin, get_type_hints

import orjson
from pydantic import TypeAdapter, ValidationError

from folkmoot.contracts.codec import UnreadableRecord, decode_data
from folkmoot.core.kernel import (
    DeadLetter,
    Leadership,
    Machine,
    Mark,
    Pending,
    Send,
    Shard,
    Snapshot,
    take,
)
from folkmoot.core.kernel.machine import S
from folkmoot.core.names import by_wire_name, wire_name

FORMAT = 1
"""Of the lines themselves; raised when a reader of the former ones could not read them."""

LINE_ITEMS = 100
"""Items of a field on one line: about a millisecond of work."""

HEAD, PENDING = "head", "pending"
KERNEL_OUTPUTS = by_wire_name(DeadLetter)


class UnreadableSnapshot(Exception):
    """A snapshot is damaged, or of another schema. The log, or an older one, has what it has."""


def state_type(machine: Machine[Any]) -> type:
    """Return the class of the machine's state."""
    return type(machine.initial())


def schema_of(machine: Machine[Any]) -> str:
    """Return what a program must agree on to read the machine's snapshots.

    The state's wire name, for what it means, and a hash, for how it is written.
    """
    return _schema(state_type(machine), tuple(machine.outputs.values()))


@lru_cache(maxsize=64)
def _schema(cls: type, outputs: tuple[type, ...]) -> str:
    shapes: dict[str, object] = {}
    for written in (cls, Pending, Leadership, *outputs):
        _note_shape(written, shapes)
    digest = sha256(orjson.dumps([FORMAT, shapes], option=orjson.OPT_SORT_KEYS)).hexdigest()
    return f"{wire_name(cls)}/{digest[:16]}"


def _note_shape(hint: Any, shapes: dict[str, object]) -> str:
    """Return the name of a type, and note the fields of it and of what it is made of."""
    if get_origin(hint) is not None:
        parts = [_note_shape(arg, shapes) for arg in get_args(hint)]
        return f"{getattr(get_origin(hint), '__name__', '')}[{','.join(parts)}]"
    if not isinstance(hint, type):
        return repr(hint)
    name = wire_name(hint) if is_dataclass(hint) else hint.__name__
    if name not in shapes and (is_dataclass(hint) or hasattr(hint, "_fields")):
        shapes[name] = []
        hidden = {f.name for f in fields(hint) if not f.init} if is_dataclass(hint) else set()
        hints = {f: h for f, h in get_type_hints(hint).items() if f not in hidden}
        shapes[name] = [(field, _note_shape(of, shapes)) for field, of in hints.items()]
    return name


# -- writing --------------------------------------------------------------------------------------


def encode_snapshot(snapshot: Snapshot[Any]) -> Iterator[bytes]:
    """Yield the lines of a snapshot, each with its line break."""
    yield _line(HEAD, _head(snapshot))
    for some in _slices(snapshot.pending):
        yield _line(PENDING, [_flat(pending) for pending in some])
    written: type = type(snapshot.state)
    for field, _ in _fields(written):
        value = getattr(snapshot.state, field)
        if isinstance(value, dict):
            for some in _slices(value.items()):
                yield _line(field, dict(some))
        elif isinstance(value, list | deque):
            for some in _slices(value):
                yield _line(field, some)
        else:
            yield _line(field, value)


def hash_of(shard: Shard[Any]) -> str:
    """Return the hash of everything that a shard has made of its log."""
    content = sha256()
    for line in encode_snapshot(take(shard)):
        content.update(line)
    return content.hexdigest()


_OPTIONS = orjson.OPT_APPEND_NEWLINE | orjson.OPT_PASSTHROUGH_SUBCLASS
"""Subclasses pass through `_plain`, since orjson writes an `OrderedDict` in the order in which its
keys first came, not in the order that it has."""


def _line(section: str, value: object) -> bytes:
    return orjson.dumps([section, value], default=_plain, option=_OPTIONS)


def _plain(value: object) -> object:
    if isinstance(value, deque | tuple):
        return [*value]
    if isinstance(value, OrderedDict):
        return dict(value)
    raise TypeError(f"a {type(value).__name__} cannot stand in a snapshot")


def _slices(values: Any) -> Iterator[list[Any]]:
    """Yield the values in lists of at most a line's, one empty list if there are none."""
    remaining = iter(values)
    some = list(islice(remaining, LINE_ITEMS))
    yield some
    while some := list(islice(remaining, LINE_ITEMS)):
        yield some


def _head(snapshot: Snapshot[Any]) -> dict[str, object]:
    return {
        "upto": snapshot.upto,
        "at": snapshot.at,
        "leadership": snapshot.leadership,
        "consumed": snapshot.consumed,
        "marks": snapshot.marks,
        "emitted": snapshot.emitted,
    }


def _flat(pending: Pending) -> list[object]:
    send = pending.send
    name = None if send.message is None else wire_name(type(send.message))
    return [pending.mark, pending.at, send.topic, send.key, send.partition, name, send.message]


# -- reading --------------------------------------------------------------------------------------


@lru_cache(maxsize=64)
def _fields(cls: type) -> Sequence[tuple[str, Any]]:
    """Return the fields of a state that are written, with their types."""
    if not is_dataclass(cls):
        raise TypeError(f"{cls.__name__} is no dataclass, so it cannot be kept in snapshots")
    hints = get_type_hints(cls)
    return [(field.name, hints[field.name]) for field in fields(cls) if field.init]


@lru_cache(maxsize=512)
def _adapter(hint: Any) -> TypeAdapter[Any]:
    return TypeAdapter(hint)


class SnapshotDecoder(Generic[S]):
    """Makes a snapshot of lines, given one after another."""

    def __init__(self, machine: Machine[S]) -> None:
        self._state_type = state_type(machine)
        self._hints = dict(_fields(self._state_type))
        self._outputs = {**machine.outputs, **KERNEL_OUTPUTS}
        self._head: Mapping[str, Any] = {}
        self._pending: list[Pending] = []
        self._values: dict[str, Any] = {}

    def take(self, line: bytes) -> None:
        """Take in the next line.

        Raises:
            UnreadableSnapshot: it does not fit.
        """
        try:
            section, value = orjson.loads(line)
            if section == HEAD:
                self._head = value
            elif section == PENDING:
                self._pending += [self._unflattened(*flat) for flat in value]
            else:
                self._add(section, _adapter(self._hints[section]).validate_python(value))
        except (KeyError, TypeError, ValueError, UnreadableRecord) as error:
            raise UnreadableSnapshot(f"a line does not fit: {error!r}") from error

    def _add(self, field: str, value: Any) -> None:
        if field not in self._values:
            self._values[field] = value
        elif issubclass(get_origin(self._hints[field]) or object, dict | OrderedDict):
            self._values[field].update(value)
        else:
            self._values[field].extend(value)

    def _unflattened(
        self,
        mark: tuple[int, int],
        at: int,
        topic: str,
        key: str | None,
        partition: int | None,
        name: str | None,
        data: object,
    ) -> Pending:
        message = None if name is None else decode_data(self._outputs[name], data)
        return Pending(Mark(*mark), Send(topic, message, key, partition), at)

    def finish(self) -> Snapshot[S]:
        """Return the snapshot.

        Raises:
            UnreadableSnapshot: something is missing.
        """
        head = self._head
        try:
            return Snapshot(
                head["upto"],
                head["at"],
                Leadership(**head["leadership"]),
                head["consumed"],
                {origin: Mark(*mark) for origin, mark in head["marks"].items()},
                head["emitted"],
                tuple(self._pending),
                self._state_type(**{field: self._values[field] for field in self._hints}),
            )
        except (KeyError, TypeError, ValidationError) as error:
            raise UnreadableSnapshot(f"something is missing: {error!r}") from error
