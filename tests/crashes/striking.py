"""Lets a process end itself by kill -9 at a chosen entry of a log, and counts entries.

The entries that count are those of one saga. They are counted in files, because who writes a log
may change from one to the next. A trap is set for one process at a time, and springs once.
"""

from __future__ import annotations

import json
import os
import signal
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, cast

import orjson

from folkmoot.bus.ports import Appender, Bus, Log, Record
from folkmoot.contracts.codec import CONTROL

FOLDER = "CRASH_FOLDER"


@dataclass(frozen=True, slots=True, order=True)
class Point:
    """The `entry`-th entry of a log that has to do with the saga, from 1.

    Its writer dies when it is durable and it has not heard so; or, with `before`, when it is about
    to be sent.
    """

    log: str
    entry: int
    before: bool

    def __str__(self) -> str:
        return f"{'before' if self.before else 'after'} entry {self.entry} of {self.log}"


class Trap:
    """The folder through which a test and the processes under it speak."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        folder.mkdir(parents=True, exist_ok=True)

    def watch(self, saga_id: str, point: Point | None = None) -> None:
        """Count the entries of this saga, and let somebody die at `point` if given."""
        for file in self._folder.iterdir():
            file.unlink()
        wanted = {"saga_id": saga_id, "point": None if point is None else asdict(point)}
        being_written = self._folder / "set.new"
        being_written.write_text(json.dumps(wanted))
        being_written.replace(self._folder / "set")

    @property
    def sprung(self) -> bool:
        """Whether somebody has died at it."""
        return (self._folder / "sprung").exists()

    def entries(self, log: str) -> int:
        """Return how many entries of a log have had to do with the saga."""
        counted = self._folder / log
        return counted.stat().st_size if counted.exists() else 0

    def watched(self) -> tuple[bytes, Point | None]:
        """Return the saga to look for, and where to die."""
        try:
            wanted = json.loads((self._folder / "set").read_text())
        except FileNotFoundError:
            return b"", None
        point = wanted["point"]
        return wanted["saga_id"].encode(), None if point is None else Point(**point)

    def count(self, log: str, entries: int) -> None:
        """Note that so many more entries are durable."""
        file = os.open(self._folder / log, os.O_CREAT | os.O_APPEND | os.O_WRONLY, 0o600)
        os.write(file, b"." * entries)
        os.close(file)

    def spring(self) -> None:
        """End this process, unless somebody else was quicker."""
        try:
            (self._folder / "set").rename(self._folder / "sprung")
        except FileNotFoundError:
            return
        os.kill(os.getpid(), signal.SIGKILL)


class _Appender:
    """An appender that dies where it is told to."""

    def __init__(self, appender: Appender, trap: Trap) -> None:
        self._appender, self._trap = appender, trap

    async def append(self, topic: str, partition: int, records: Sequence[Record]) -> int:
        if not topic.endswith(".log"):
            return await self._appender.append(topic, partition, records)
        saga_id, point = self._trap.watched()
        entries = sum(_is_entry(record, saga_id) for record in records) if saga_id else 0
        first = self._trap.entries(topic) + 1
        here = point is not None and entries > 0 and _within(point, topic, first, entries)
        if here and point is not None and point.before:
            self._trap.spring()
        offset = await self._appender.append(topic, partition, records)
        if entries:
            self._trap.count(topic, entries)
        if here:
            self._trap.spring()
        return offset

    async def close(self) -> None:
        await self._appender.close()


def _within(point: Point, topic: str, first: int, entries: int) -> bool:
    return point.log == topic and first <= point.entry < first + entries


def _is_entry(record: Record, saga_id: bytes) -> bool:
    control = dict(record.headers).get(CONTROL)
    if control is None or orjson.loads(control).get("kind") != "entry":
        return False
    return saga_id in (record.value or b"")


class _Log:
    """A log whose appenders die where they are told to."""

    def __init__(self, log: Log, trap: Trap) -> None:
        self._log, self._trap = log, trap

    async def appender(self) -> Appender:
        return _Appender(await self._log.appender(), self._trap)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._log, name)


def striking(connect: Callable[..., Awaitable[Bus]]) -> Callable[..., Awaitable[Bus]]:
    """Return a `connect` whose bus has the trap in the folder that `CRASH_FOLDER` names."""
    trap = Trap(Path(os.environ[FOLDER]))

    async def connected(*args: Any, **kwargs: Any) -> Bus:
        bus = await connect(*args, **kwargs)
        return replace(bus, log=cast(Log, _Log(bus.log, trap)))

    return connected
