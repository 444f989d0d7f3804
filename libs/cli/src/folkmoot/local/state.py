"""Who runs in a data directory: written by the supervisor, read by `down`, `status` and the guard.

Invariants: `state.json` is replaced as a whole; a process is recorded as soon as it has an id; a
recorded process is never signalled unless it started when the record says, so that a reused id
harms nobody. The lock is held exactly as long as the supervisor lives, however it ends.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Self

import psutil
from pydantic import BaseModel, ConfigDict, ValidationError

from folkmoot.local.errors import AlreadyRunning, NotWritable

START_TOLERANCE_S = 2.0
"""Some systems derive the start of a process from a boot time that moves when the clock is set."""


class Identity(BaseModel):
    """One process and no other: its id, and when it started, in seconds since the epoch."""

    model_config = ConfigDict(frozen=True)

    pid: int
    started: float

    @classmethod
    def of(cls, pid: int) -> Self:
        """Return the identity of a living process."""
        return cls(pid=pid, started=psutil.Process(pid).create_time())

    def find(self) -> psutil.Process | None:
        """Return the process if it still lives."""
        try:
            found = psutil.Process(self.pid)
            same = abs(found.create_time() - self.started) < START_TOLERANCE_S
            return found if same and found.status() != psutil.STATUS_ZOMBIE else None
        except psutil.NoSuchProcess:
            return None


class ProcessRecord(BaseModel):
    """One process of a run. `health_path` is where it tells over HTTP whether it is ready."""

    model_config = ConfigDict(frozen=True)

    name: str
    identity: Identity
    address: str
    port: int
    health_path: str | None
    log: Path


class State(BaseModel):
    """One run: its supervisor, and its processes in the order in which they were started.

    Without a supervisor the run was left to itself on purpose.
    """

    model_config = ConfigDict(frozen=True)

    supervisor: Identity | None
    processes: tuple[ProcessRecord, ...] = ()

    def living(self) -> tuple[ProcessRecord, ...]:
        """Return the processes that still live."""
        return tuple(each for each in self.processes if each.identity.find() is not None)

    def write(self, data_dir: Path) -> None:
        """Replace what the directory's state was."""
        path = _path(data_dir)
        draft = path.with_suffix(".tmp")
        draft.write_text(self.model_dump_json(indent=1))
        draft.replace(path)


def _path(data_dir: Path) -> Path:
    return data_dir / "state.json"


def read(data_dir: Path) -> State | None:
    """Return the run that the directory tells of, or None if it tells of none."""
    try:
        return State.model_validate_json(_path(data_dir).read_bytes())
    except (FileNotFoundError, ValidationError):
        return None


def forget(data_dir: Path) -> None:
    """Remove the state: nothing runs any more."""
    _path(data_dir).unlink(missing_ok=True)


@contextlib.contextmanager
def claimed(data_dir: Path) -> Iterator[None]:
    """Hold the directory.

    Raises:
        AlreadyRunning: another living process holds it.
        NotWritable: it cannot be made, or nothing can be written there.
    """
    try:
        data_dir.mkdir(parents=True, exist_ok=True)
        lock = os.open(data_dir / "lock", os.O_CREAT | os.O_RDWR, 0o600)
    except OSError as error:
        raise NotWritable(data_dir, error, "another data directory") from error
    try:
        _lock(lock, data_dir)
        yield
    finally:
        os.close(lock)


def _lock(file: int, data_dir: Path) -> None:
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        raise AlreadyRunning(data_dir) from None
