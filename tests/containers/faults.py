"""What is done to the containers while a job runs, and undone when it has ended."""

from __future__ import annotations

import contextlib
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from functools import partial

from folkmoot.contracts.keys import partition_of
from folkmoot.sdk.client import Saga
from tests.containers.platform import SERVICES, CommandFailed, Platform

WORKER, TEAM_SHARD = "agent-worker", "folkmoot.team.dossier.log/0"
BUSY_AGENT = "researcher"


class Fault(ABC):
    """One fault. `name` is what the report calls it."""

    name: str

    @abstractmethod
    def strike(self, platform: Platform, saga: Saga) -> None:
        """Do harm to whoever the saga depends on most."""

    def heal(self, platform: Platform) -> None:  # noqa: B027 - most heal by themselves
        """Undo what does not mend itself."""


class Nothing(Fault):
    """The job as it runs when nothing goes wrong."""

    name = "none"

    def strike(self, platform: Platform, saga: Saga) -> None:
        return None


class Kill(Fault):
    """Every process in the container dies at once; the restart policy starts it again."""

    name = "kill -9 of the orchestrator that leads the saga's shard"

    def strike(self, platform: Platform, saga: Saga) -> None:
        shard = f"folkmoot.saga-orchestrator.log/{saga.partition}"
        victim = platform.leader("saga-orchestrator", shard)
        before = platform.process(victim)
        # -1 spares the sender and the container's init, which then ends as its child did. What ran
        # the command may end with it, so that its status says nothing.
        with contextlib.suppress(CommandFailed):
            platform.engine("exec", victim, "sh", "-c", "kill -9 -1")
        platform.wait_until_gone(victim, before)


class CutOff(Fault):
    """Connections hang and names are not found any more, as when a cable is pulled."""

    name = "network disconnect of the worker that leads the team"

    def strike(self, platform: Platform, saga: Saga) -> None:
        self._victim = platform.leader(WORKER, TEAM_SHARD)
        platform.engine("network", "disconnect", f"{platform.project}_default", self._victim)

    def heal(self, platform: Platform) -> None:
        platform.engine("network", "connect", f"{platform.project}_default", self._victim)


class Pause(Fault):
    """The process is frozen, and goes on afterwards as if nothing had been: a zombie."""

    name = "pause of the breaker-proxy that lets the researcher's calls in"

    def strike(self, platform: Platform, saga: Saga) -> None:
        partitions = int(platform.environment["FOLKMOOT_PARTITIONS"])
        shard = f"folkmoot.breaker-proxy.log/{partition_of(BUSY_AGENT, partitions)}"
        self._victim = platform.leader("breaker-proxy", shard)
        platform.engine("pause", self._victim)

    def heal(self, platform: Platform) -> None:
        platform.engine("unpause", self._victim)


class Restart(Fault):
    """All containers of a service are restarted: the log, the gossip, or what only watches."""

    def __init__(self, service: str, name: str) -> None:
        self._service, self.name = service, name

    def strike(self, platform: Platform, saga: Saga) -> None:
        platform.compose("restart", self._service)


class RestartLeader(Fault):
    """The replica that leads is asked to stop, hands over, and comes back."""

    def __init__(self, service: str, shard: str) -> None:
        self._service, self._shard = service, shard
        self.name = f"restart of the {service} that leads {shard}"

    def strike(self, platform: Platform, saga: Saga) -> None:
        platform.engine("restart", platform.leader(self._service, self._shard))


FAULTS: Mapping[str, Callable[[], Fault]] = {
    "none": Nothing,
    "kill": Kill,
    "cut": CutOff,
    "pause": Pause,
    "kafka": partial(Restart, "kafka", "restart of Kafka"),
    "nats": partial(Restart, "nats", "restart of NATS"),
    "jaeger": partial(Restart, "jaeger", "restart of Jaeger"),
    **{
        service: partial(RestartLeader, service, f"folkmoot.{service}.log/0")
        for service in SERVICES
    },
    WORKER: partial(RestartLeader, WORKER, TEAM_SHARD),
}
