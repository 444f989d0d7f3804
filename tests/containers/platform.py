"""The platform in containers, under a project name and on ports of its own.

Everything goes through the two programs that a user has: the Compose client, and the engine's own
command (`docker`, or `podman`, which takes the same words).
"""

from __future__ import annotations

import json
import os
import subprocess
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from folkmoot.local.ports import free_port

ROOT = Path(__file__).resolve().parents[2]
SERVICES = ("election", "event-store", "saga-orchestrator", "breaker-proxy")
PORTS = ("KAFKA_PORT", "NATS_PORT", "JAEGER_PORT", "OTLP_PORT")
PATIENT = {
    "FOLKMOOT_TTL_MS": "5000",
    "FOLKMOOT_SESSION_TTL_MS": "5000",
    "FOLKMOOT_PARTITIONS": "1",
}
"""Faults are to be told from a machine that is merely busy: longer silences, and fewer shards."""

SECURE = "deploy/compose/secure.yml"
PROBE = ("python", "-m", "folkmoot.runtime.probe", "ready")

POLL_S = 0.25
READY_WITHIN_S = 240.0
COMMAND_TIMEOUT_S = 900.0
"""The first build fetches everything that is locked."""


class CommandFailed(Exception):
    """A command of Compose or of the engine ended with another status than 0."""


@dataclass
class Platform:
    """What `docker compose` runs here."""

    compose_command: Sequence[str]
    engine_command: Sequence[str]
    project: str
    scale: Mapping[str, int]
    files: Sequence[str] = ("docker-compose.yml",)
    profiles: Sequence[str] = ()
    environment: dict[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        ports = {name: str(free_port()) for name in PORTS}
        self.environment = {**os.environ, **PATIENT, **ports, **self.environment}

    @property
    def address(self) -> str:
        """The bus, as this machine reaches it."""
        kafka, nats = (self.environment[name] for name in ("KAFKA_PORT", "NATS_PORT"))
        scheme = "tls" if SECURE in self.files else "nats"
        return f"kafka://localhost:{kafka}?nats={scheme}://localhost:{nats}"

    def compose(self, *arguments: str) -> str:
        """Run the Compose client on the project, and return what it printed."""
        files = [word for name in self.files for word in ("--file", name)]
        chosen = ["--project-name", self.project]
        chosen += [word for name in self.profiles for word in ("--profile", name)]
        return self._run([*self.compose_command, *files, *chosen, *arguments])

    def engine(self, *arguments: str) -> str:
        """Run the engine's command, and return what it printed."""
        return self._run([*self.engine_command, *arguments])

    def _run(self, command: Sequence[str]) -> str:
        done = subprocess.run(
            command, cwd=ROOT, env=self.environment, text=True, timeout=COMMAND_TIMEOUT_S,
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT, check=False,
        )  # fmt: skip
        if done.returncode != 0:
            words = " ".join(command)
            raise CommandFailed(f"{words}: status {done.returncode}\n{done.stdout[-4000:]}")
        return done.stdout

    # -- from nothing to nothing --------------------------------------------------------------

    def build(self) -> None:
        """Build every image."""
        self.compose("build")

    def up(self) -> None:
        """Start all, and return when all are healthy."""
        scales = [word for name, n in self.scale.items() for word in ("--scale", f"{name}={n}")]
        self.compose("up", "--detach", "--wait", "--wait-timeout", "300", *scales)

    def down(self) -> None:
        """Stop all, and delete what it kept."""
        self.compose("--profile", "*", "down", "--volumes", "--remove-orphans")

    def left(self) -> list[str]:
        """Return what is still there of the project: containers, volumes, networks."""
        label = f"label=com.docker.compose.project={self.project}"
        found = self.engine("ps", "--all", "--quiet", "--filter", label).split()
        for kind in ("volume", "network"):
            found += self.engine(kind, "ls", "--quiet", "--filter", label).split()
        return found

    # -- looking ------------------------------------------------------------------------------

    def containers(self, service: str) -> list[str]:
        """Return the ids of a service's containers that exist."""
        labels = [
            f"label=com.docker.compose.project={self.project}",
            f"label=com.docker.compose.service={service}",
        ]
        filters = [word for label in labels for word in ("--filter", label)]
        return self.engine("ps", "--quiet", *filters).split()

    def health(self, container: str) -> Mapping[str, Any]:
        """Return what a container's service says of itself; not ready if it says nothing."""
        done = subprocess.run(
            [*self.engine_command, "exec", container, *PROBE],
            capture_output=True, text=True, timeout=30, check=False,
        )  # fmt: skip
        try:
            told: Mapping[str, Any] = json.loads(done.stdout)
        except json.JSONDecodeError:
            return {"ready": False, "reasons": [done.stdout + done.stderr], "shards": []}
        return told

    def leader(self, service: str, shard: str) -> str:
        """Return the container of `service` that leads `shard`, when one does."""
        until = time.monotonic() + READY_WITHIN_S
        while time.monotonic() < until:
            for container in self.containers(service):
                shards = self.health(container)["shards"]
                if any(s["shard"] == shard and s["role"] == "leading" for s in shards):
                    return container
            time.sleep(POLL_S)
        raise AssertionError(f"no container of {service} leads {shard}")

    def process(self, container: str) -> str:
        """Return the process of a container, as this machine numbers it."""
        return self.engine("inspect", "--format", "{{.State.Pid}}", container).strip()

    def wait_until_gone(self, container: str, process: str) -> None:
        """Wait until that process is no longer the container's."""
        until = time.monotonic() + READY_WITHIN_S
        while self.process(container) == process:
            assert time.monotonic() < until, f"{container} still runs"
            time.sleep(POLL_S)

    def wait_ready(self) -> float:
        """Return how many seconds it took until every replica of every service was ready."""
        began = time.monotonic()
        while reasons := self._reasons():
            if time.monotonic() - began > READY_WITHIN_S:
                raise AssertionError(f"not all became ready again: {reasons}")
            time.sleep(POLL_S)
        return time.monotonic() - began

    def _reasons(self) -> list[str]:
        reasons = []
        for service, wanted in self.scale.items():
            running = self.containers(service)
            if len(running) != wanted:
                reasons.append(f"{len(running)} of {wanted} containers of {service} run")
            for health in map(self.health, running):
                reasons += [f"{service}: {reason}" for reason in health["reasons"]]
        return reasons
