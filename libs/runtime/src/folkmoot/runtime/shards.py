"""The shards of a service that has a fixed number of them: all services but the workers."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from folkmoot.bus.ports import Bus, Topic
from folkmoot.contracts.topics import service_topics
from folkmoot.core.kernel import Machine
from folkmoot.core.messages import TASKS, inbox, log
from folkmoot.runtime.candidacy import OpenCandidacy
from folkmoot.runtime.clock import Clock
from folkmoot.runtime.replica import Replica
from folkmoot.runtime.seat import ShardName
from folkmoot.runtime.settings import Settings


def shard_name(service: str, partition: int) -> ShardName:
    """Return where a service's shard lives. Only the orchestrator takes tasks as well."""
    inputs = [inbox(service)]
    if service == "saga-orchestrator":
        inputs.append(TASKS)
    return ShardName(service, log(service), tuple(inputs), partition)


def replicas(
    service: str,
    machine: Callable[[int], Machine[Any]],
    bus: Bus,
    settings: Settings,
    clock: Clock,
    member: str,
    on_local: Callable[[object], None],
) -> Sequence[Replica[Any]]:
    """Return this process's replica of every shard of `service`.

    `machine` makes the machine of one partition. Replicas of these services do not know of each
    other: the first to claim leads.
    """
    made = []
    for partition in range(settings.partitions):
        name = shard_name(service, partition)
        timing = settings.timing()
        candidacy = OpenCandidacy(member, name.origin, timing, lambda: [member])
        made.append(
            Replica(
                machine(partition), name, member, bus, candidacy, clock, timing, on_local=on_local
            )
        )
    return made


async def create_service_topics(bus: Bus, partitions: int) -> None:
    """Create the topics that exist once.

    Raises:
        TopicMismatch: one exists with other partitions or with settings that lose history.
    """
    specs = service_topics(partitions)
    await bus.log.create_topics([Topic(s.name, s.partitions, s.config) for s in specs])
