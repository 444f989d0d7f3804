"""The shards of a service that has a fixed number of them: all services but the workers."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

from folkmoot.bus.ports import Bus, Topic
from folkmoot.contracts.topics import service_topics
from folkmoot.core.kernel import Machine
from folkmoot.core.messages import TASKS, inbox, log
from folkmoot.core.tracing import Projection
from folkmoot.runtime.candidacy import OpenCandidacy, Pace
from folkmoot.runtime.clock import Clock
from folkmoot.runtime.presence import Presence
from folkmoot.runtime.replica import Replica
from folkmoot.runtime.seat import Role, ShardName
from folkmoot.runtime.settings import Settings
from folkmoot.runtime.tracing import Recorder, Tracing


def shard_name(service: str, partition: int) -> ShardName:
    """Return where a service's shard lives. Only the orchestrator takes tasks as well."""
    inputs = [inbox(service)]
    if service == "saga-orchestrator":
        inputs.append(TASKS)
    return ShardName(service, log(service), tuple(inputs), partition)


@dataclass(frozen=True, slots=True)
class Shards:
    """This process's replicas of a service's shards, and who else has some."""

    replicas: Sequence[Replica[Any]]
    presence: Presence


def shards(
    service: str,
    machine: Callable[[int], Machine[Any]],
    bus: Bus,
    settings: Settings,
    clock: Clock,
    on_local: Callable[[object], None],
    tracing: Tracing | None = None,
    projection: Projection[Any] | None = None,
) -> Shards:
    """Return a replica of every shard of `service`. `machine` makes that of one partition.

    `projection` tells their spans, which are exported as `tracing` wants it.
    """
    member, timing = settings.member(), settings.timing()
    made: list[Replica[Any]] = []

    def following() -> list[int]:
        return [r.name.partition for r in made if r.role in (Role.FOLLOWING, Role.LEADING)]

    def hurry(leaving: str) -> None:
        for replica in made:
            replica.hurry(leaving)

    presence = Presence(service, member, bus.gossip, clock, timing, following)
    presence.on_leave = hurry
    pace = Pace(timing.ttl_ms)
    restoring = asyncio.Semaphore(settings.restores_max)
    for partition in range(settings.partitions):
        name = shard_name(service, partition)
        follows = partial(_follows, presence, partition)
        candidacy = OpenCandidacy(member, name.origin, timing, presence.members, follows, pace)
        recorder = Recorder(name.origin, clock)
        if tracing is not None and projection is not None:
            recorder = tracing.recorder(name.origin, projection)
        made.append(
            Replica(
                recorder.traced(machine(partition)),
                name,
                member,
                bus,
                candidacy,
                clock,
                timing,
                on_local=recorder.performing(on_local),
                on_role=recorder.on_role,
                restoring=restoring,
                on_witnessed=recorder.on_witnessed,
            )
        )
    return Shards(made, presence)


def _follows(presence: Presence, partition: int, member: str) -> bool:
    return presence.follows(member, partition)


async def create_service_topics(bus: Bus, settings: Settings) -> None:
    """Create the topics that exist once; whoever signs in as somebody, those of its own only.

    Raises:
        TopicMismatch: one exists with other partitions or with settings that lose history.
    """
    specs = service_topics(settings.partitions, settings.bus_user)
    await bus.log.create_topics([Topic(s.name, s.partitions, s.config) for s in specs])
