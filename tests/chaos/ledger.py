"""What the workload's steps do to the world: lines in a file, which nothing takes back.

The file stands for somebody else's system. Appending to it twice is two effects, so it keeps a
guard at its door, made of what a handler is told of itself and nothing else:

- an idempotency key acts once, however often its handler is run;
- what was undone is not done afterwards by who slept through the undoing;
- a leader's effect under an epoch below one already seen comes from a leader of the past.

Next to it lies a file without any guard, in which every try to act leaves a line: what the effects
would have been if nobody fenced. `Ledger(..., fenced=False)` switches the guard off.
"""

from __future__ import annotations

import fcntl
import json
import os
from collections import Counter
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Literal

Deed = Literal["do", "undo"]


class Fenced(Exception):
    """The effect comes too late: somebody else has gone on."""


@dataclass(frozen=True)
class Effect:
    """One line: `deed` was done for `step` of a saga, by the run of a handler."""

    saga_id: str
    step: str
    deed: Deed
    key: str
    epoch: int
    attempt: int
    run: int
    member: str


@dataclass
class _Seen:
    """What the guard knows of the lines so far."""

    offset: int = 0
    keys: set[str] = field(default_factory=set)
    undone: set[tuple[str, str]] = field(default_factory=set)
    epoch: int = 0

    def take_in(self, effect: Effect) -> None:
        self.keys.add(effect.key)
        self.epoch = max(self.epoch, effect.epoch)
        if effect.deed == "undo":
            self.undone.add((effect.saga_id, effect.step))


class Ledger:
    """One process's access to the file at `path`."""

    def __init__(self, path: Path, *, fenced: bool = True) -> None:
        self.path, self.tries_path = path, path.with_suffix(".tries")
        self._fenced = fenced
        self._seen = _Seen()

    def act(self, effect: Effect) -> bool:
        """Do it unless it was done; whether this call did it.

        Raises:
            Fenced: whoever asks is of the past; nothing was done.
        """
        _append(self.tries_path, effect)
        with _alone(self.path):
            self._catch_up()
            if self._fenced and not self._may(effect):
                return False
            _append(self.path, effect)
            return True

    def _may(self, effect: Effect) -> bool:
        seen = self._seen
        if effect.key in seen.keys:
            return False
        if effect.deed == "do" and (effect.saga_id, effect.step) in seen.undone:
            raise Fenced(f"{effect.key} was undone")
        if effect.epoch and effect.epoch < seen.epoch:
            raise Fenced(f"epoch {effect.epoch} is over: {seen.epoch} was seen")
        return True

    def _catch_up(self) -> None:
        with self.path.open() as lines:
            lines.seek(self._seen.offset)
            for effect in parse_effects(iter(lines.readline, "")):
                self._seen.take_in(effect)
            self._seen.offset = lines.tell()


@contextmanager
def _alone(path: Path) -> Iterator[None]:
    """Hold the file. A process that is stopped here is slow, not absent: others wait for it."""
    file = os.open(path.with_suffix(".lock"), os.O_CREAT | os.O_RDWR, 0o600)
    try:
        fcntl.flock(file, fcntl.LOCK_EX)
        path.touch()
        yield
    finally:
        os.close(file)


def _append(path: Path, effect: Effect) -> None:
    """Write one line at once: it is there whole or not at all, whoever dies."""
    file = os.open(path, os.O_CREAT | os.O_APPEND | os.O_WRONLY, 0o600)
    try:
        os.write(file, json.dumps(asdict(effect)).encode() + b"\n")
    finally:
        os.close(file)


def read_effects(path: Path) -> list[Effect]:
    """Return the lines of a file of effects, in order."""
    if not path.exists():
        return []
    with path.open() as lines:
        return list(parse_effects(lines))


def parse_effects(lines: Iterable[str]) -> Iterator[Effect]:
    """Yield the effects that are written in `lines`, which are whole."""
    return (Effect(**json.loads(line)) for line in lines)


def repeated(effects: list[Effect]) -> Counter[str]:
    """Return how often too many each key acted, if it did."""
    counts = Counter(effect.key for effect in effects)
    return Counter({key: count - 1 for key, count in counts.items() if count > 1})
