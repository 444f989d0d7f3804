"""The platform as processes of this machine: what `folkmoot up` runs, and members for it."""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

from folkmoot.local import ports
from folkmoot.local.processes import ServiceProcess, ServiceSpec
from folkmoot.local.up import DATA_DIR, FIRST_HEALTH_PORT, UpOptions, bus_address

MODULES: Mapping[str, str] = {
    "election": "folkmoot.election",
    "event-store": "folkmoot.event_store",
    "saga-orchestrator": "folkmoot.saga_orchestrator",
    "breaker-proxy": "folkmoot.breaker_proxy",
    "agent-worker": "folkmoot.agent_worker",
}
"""The services, and the modules that run them."""

WORKER = "agent-worker"


def local_address(data_dir: Path = DATA_DIR) -> str | None:
    """Return the address of the bus that `folkmoot up` runs here, None if it does not."""
    return bus_address(data_dir)


def environment(**settings: object) -> dict[str, str]:
    """Return this process's environment with Folkmoot's settings added.

    What is logged is for people here, if nothing else is said: they read along.
    """
    added = {f"FOLKMOOT_{name.upper()}": str(value) for name, value in settings.items()}
    return {"FOLKMOOT_LOG_FORMAT": "plain", **os.environ, **added}


def service_specs(
    options: UpOptions, partitions: int, first_port: int, more: Mapping[str, object]
) -> list[ServiceSpec]:
    """Return how to run one process of each service but the workers, with `more` settings."""
    return [
        ServiceSpec(
            name,
            (sys.executable, "-m", module),
            first_port + number,
            environment(
                bus=options.bus,
                partitions=partitions,
                http_port=first_port + number,
                node=name,
                index_dir=(options.data_dir / "index").absolute(),
                **more,
            ),
        )
        for number, (name, module) in enumerate(MODULES.items())
        if name != WORKER
    ]


def member_spec(name: str, app: str, bus: str, port: int) -> ServiceSpec:
    """Return how to run one member that hosts the agents of `app`."""
    settings = environment(bus=bus, app=app, node=name, http_port=port)
    return ServiceSpec(name, (sys.executable, "-m", MODULES[WORKER]), port, settings)


def options_for(
    data_dir: Path = DATA_DIR,
    kafka_port: int | None = None,
    nats_port: int | None = None,
    http_port: int = FIRST_HEALTH_PORT,
    partitions: int = 2,
    workers: Sequence[str] = (),
    any_port: bool = False,
    settings: Mapping[str, object] | None = None,
) -> UpOptions:
    """Return what `up` is to run. `workers` are MODULE:APP, one member each.

    With `any_port` whatever is not given gets a free port, so that nothing is in the way.
    """
    chosen = UpOptions(data_dir)
    bare = UpOptions(
        data_dir,
        kafka_port or (ports.free_port() if any_port else chosen.kafka_port),
        nats_port or (ports.free_port() if any_port else chosen.nats_port),
    )
    specs = service_specs(bare, partitions, http_port, settings or {})
    for number, app in enumerate(workers, 1):
        specs.append(member_spec(f"member-{number}", app, bare.bus, http_port + 10 + number))
    return UpOptions(data_dir, bare.kafka_port, bare.nats_port, specs)


def member_process(name: str, app: str, bus: str, logs: Path) -> ServiceProcess:
    """Return a member as a process of its own, not yet started."""
    spec = member_spec(name, app, bus, ports.free_port())
    return ServiceProcess(spec, logs / f"{name}.log")
