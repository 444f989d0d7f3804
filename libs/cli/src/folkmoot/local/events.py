"""What happens while local processes start and stop, for whoever shows it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Downloading:
    """Jars are being downloaded: so many bytes of all."""

    done: int
    total: int


@dataclass(frozen=True, slots=True)
class LeftoversStopped:
    """Processes of an earlier run, whose supervisor is gone, were stopped first."""

    names: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Starting:
    """A process is being started."""

    name: str


@dataclass(frozen=True, slots=True)
class Ready:
    """A process is ready."""

    name: str
    address: str
    took_ms: int


@dataclass(frozen=True, slots=True)
class Died:
    """A process ended that nobody had stopped. A negative status is the signal that ended it."""

    name: str
    status: int
    last_lines: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Stopping:
    """A process is asked to end."""

    name: str


@dataclass(frozen=True, slots=True)
class Stopped:
    """A process has ended; `killed` if it had to be."""

    name: str
    killed: bool


Event = Downloading | LeftoversStopped | Starting | Ready | Died | Stopping | Stopped
OnEvent = Callable[[Event], None]


def ignore(_event: Event) -> None:
    """Show nothing."""
