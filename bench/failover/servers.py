"""The servers that the peers need: NATS with JetStream, etcd, and a Kafka of quick sessions."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path

from folkmoot.local import ports
from folkmoot.local.kafka import KafkaServer
from folkmoot.local.nats import NatsServer
from folkmoot.local.processes import ManagedProcess
from folkmoot.local.settings import LocalSettings

SESSION_MS = 1_000
"""Of the consumer group; Kafka's own minimum is 6 s unless its broker allows less."""


class QuickKafka(KafkaServer):
    """A Kafka that allows consumer groups sessions as short as the leases beside them."""

    def properties(self) -> Mapping[str, str | int]:
        """Return the settings of the next run."""
        return {**super().properties(), "group.min.session.timeout.ms": SESSION_MS}


class JetStream(NatsServer):
    """A NATS that keeps buckets, in files, as a lease needs."""

    def __init__(self, directory: Path) -> None:
        super().__init__(directory)
        self._store = directory

    async def command(self) -> Sequence[str]:
        """Return the program and its arguments."""
        return [*await super().command(), "-js", "-sd", str(self._store)]


class Etcd(ManagedProcess):
    """One etcd with its own defaults, and with them its shortest lease of two seconds."""

    health_path = "/health"

    def __init__(self, program: Path, directory: Path) -> None:
        super().__init__("etcd", ports.free_port(), directory.with_suffix(".log"))
        self._program, self._directory = program, directory

    @property
    def url(self) -> str:
        """Where it answers."""
        return f"http://{self.address}"

    async def command(self) -> Sequence[str]:
        """Return the program and its arguments."""
        peers = f"http://{ports.LOOPBACK}:{ports.free_port()}"
        settings = {
            "data-dir": self._directory,
            "listen-client-urls": self.url,
            "advertise-client-urls": self.url,
            "listen-peer-urls": peers,
            "initial-advertise-peer-urls": peers,
            "initial-cluster": f"default={peers}",
            "logger": "zap",
        }
        return [str(self._program), *(f"--{name}={value}" for name, value in settings.items())]

    async def ready(self) -> bool:
        """Return whether it answers."""
        return await ports.answers_ok(self.port, "/health")


def etcd_program() -> Path | None:
    """Return the etcd of this machine, else that of Debian's package; None without either."""
    if found := shutil.which("etcd"):
        return Path(found)
    folder = LocalSettings().cache / "bench" / "etcd-server"
    program = folder / "usr" / "bin" / "etcd"
    if not program.exists() and shutil.which("apt-get"):
        folder.mkdir(parents=True, exist_ok=True)
        _unpack(folder)
    return program if program.exists() else None


def _unpack(folder: Path) -> None:
    """Fetch the package without installing it; that it cannot be had is no failure."""
    fetch = ["apt-get", "download", "etcd-server"]
    subprocess.run(fetch, cwd=folder, check=False, capture_output=True)
    for package in folder.glob("etcd-server_*.deb"):
        subprocess.run(["dpkg-deb", "-x", str(package), str(folder)], check=True)
