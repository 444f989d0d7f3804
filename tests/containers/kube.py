"""`make kube-test`: runs the manifests for Kubernetes with `podman play kube`, as far as that goes.

Not a cluster: there are no Services, no scheduler, no network policies and no readiness probes, and
one pod each. What is run is the pods themselves, as they are rendered: their images, their users,
their read-only roots, what is mounted and set; and the main job through them, twice, the second
time with the orchestrator killed before. `adapted` holds everything that is changed for it.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import shlex
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import yaml
from rich.console import Console

from deploy.artefacts.files import ROOT

OVERLAY = ROOT / "deploy" / "k8s" / "rendered" / "dev.yaml"
NETWORK = "folkmoot-kube-test"
BUS = "kafka://kafka:9092?nats=nats://nats:4222"
BROKERS = ("kafka", "nats")
IMAGE = "folkmoot/folkmoot:0.1.0"
PROBE = ["python", "-m", "folkmoot.runtime.probe"]
READY_WITHIN_S, POLL_S = 240.0, 0.5
COMMAND_TIMEOUT_S = 300

Resource = dict[str, Any]


def resources() -> Mapping[str, list[Resource]]:
    """Return what is rendered for development, by kind."""
    found: dict[str, list[Resource]] = {}
    for each in yaml.safe_load_all(OVERLAY.read_text()):
        found.setdefault(each["kind"], []).append(each)
    return found


def adapted(workload: Resource) -> Resource:
    """Return a workload as podman takes it: one pod, ports published nowhere, probes by command."""
    made: Resource = json.loads(json.dumps(workload))
    made["kind"] = "Deployment"
    made["spec"]["replicas"] = 1
    pod = made["spec"]["template"]["spec"]
    # podman would start an init container again and again, as it does the others.
    pod["restartPolicy"] = "OnFailure"
    for claim in made["spec"].pop("volumeClaimTemplates", ()):
        pod["volumes"].append({"name": claim["metadata"]["name"], "emptyDir": {}})
    for container in pod["containers"]:
        for field in ("ports", "startupProbe", "readinessProbe", "livenessProbe"):
            container.pop(field, None)
        if made["metadata"]["name"] not in BROKERS:
            container["livenessProbe"] = {"exec": {"command": [*PROBE, "live"]}}
    return made


class Pods:
    """The pods of the overlay, on a network of their own."""

    def __init__(self, engine: list[str]) -> None:
        self._engine = engine
        self._played: list[Path] = []

    def engine(self, *arguments: str) -> str:
        """Run the engine's command, and return what it printed."""
        done = subprocess.run(
            [*self._engine, *arguments], text=True, timeout=COMMAND_TIMEOUT_S, check=False,
            capture_output=True,
        )  # fmt: skip
        assert done.returncode == 0, f"{' '.join(arguments)}: {done.stdout}{done.stderr[-2000:]}"
        return done.stdout

    @contextlib.contextmanager
    def played(self, folder: Path) -> Iterator[None]:
        """Play brokers, then services; in the end leave nothing."""
        found = resources()
        self.engine("network", "create", NETWORK)
        try:
            workloads = [*found["StatefulSet"], *found["Deployment"]]
            for each in sorted(workloads, key=lambda w: w["metadata"]["name"] not in BROKERS):
                self._play(folder, found["ConfigMap"], adapted(each))
            yield
        finally:
            for path in reversed(self._played):
                self.engine("play", "kube", "--down", str(path))
            self.engine("network", "rm", "--force", NETWORK)

    def _play(self, folder: Path, settings: list[Resource], workload: Resource) -> None:
        name = workload["metadata"]["name"]
        path = folder / f"{name}.yaml"
        path.write_text(yaml.safe_dump_all([*settings, workload]))
        self._played.append(path)
        self.engine("play", "kube", "--network", f"{NETWORK}:alias={name}", str(path))

    def container(self, service: str) -> str:
        """Return the container of a service's pod, as podman names it."""
        return f"{service}-pod-0-service"

    def wait_ready(self, services: list[str]) -> None:
        """Wait until every service says that it is ready."""
        until = time.monotonic() + READY_WITHIN_S
        for service in services:
            while (answer := self._asked(service)) is not None:
                assert time.monotonic() < until, f"{service} is not ready: {answer}"
                time.sleep(POLL_S)

    def _asked(self, service: str) -> str | None:
        command = [*self._engine, "exec", self.container(service), *PROBE, "ready"]
        done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
        return None if done.returncode == 0 else done.stdout + done.stderr

    def job(self, name: str) -> Mapping[str, Any]:
        """Run the main job as a program outside does, and return its result."""
        task = json.dumps({"out": f"/tmp/{name}", "shards": 4})
        command = ["folkmoot", "submit", "dossier", task, "--key", name, "--bus", BUS]
        aside = ["run", "--rm", "--no-healthcheck", "--network", NETWORK]
        printed = self.engine(*aside, IMAGE, *command)
        result: Mapping[str, Any] = json.loads(printed)
        assert result["verified"] > 0, result
        return result


def main() -> int:
    """Run the pods, and the job through them; the exit status."""
    parser = argparse.ArgumentParser(prog="make kube-test", description=__doc__)
    parser.add_argument("--engine", default="podman")
    console = Console(highlight=False, soft_wrap=True)
    pods = Pods(shlex.split(parser.parse_args().engine))
    with tempfile.TemporaryDirectory() as folder:
        began = time.monotonic()
        with pods.played(Path(folder)):
            services = sorted({w["metadata"]["name"] for w in resources()["Deployment"]} - {"nats"})
            pods.wait_ready(services)
            _tell(console, "all pods ready", began)
            for name in ("first", "again"):
                began = time.monotonic()
                found = pods.job(name)
                what = f"job, {found['packages']} packages, {found['verified']} claims"
                _tell(console, what, began)
                if name == "first":
                    pods.engine("kill", "--signal", "KILL", pods.container("saga-orchestrator"))
                    pods.engine("start", pods.container("saga-orchestrator"))
    return 0


def _tell(console: Console, what: str, began: float) -> None:
    console.print(f"| {what} | {time.monotonic() - began:.1f} s |")


if __name__ == "__main__":
    sys.exit(main())
