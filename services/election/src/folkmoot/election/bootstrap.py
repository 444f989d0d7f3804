"""Puts the election together: its shards, and what it answers."""

from __future__ import annotations

from folkmoot.bus.ports import Bus
from folkmoot.core.election import ElectionMachine
from folkmoot.election.guarding import Guard
from folkmoot.election.handlers import answer
from folkmoot.election.metrics import TeamMeasure
from folkmoot.election.settings import ElectionServiceSettings
from folkmoot.runtime.clock import Clock
from folkmoot.runtime.service import Service, announcer
from folkmoot.runtime.shards import create_service_topics, shards

NAME = "election"


def machine(settings: ElectionServiceSettings, partition: int) -> ElectionMachine:
    """Return the machine of one shard."""
    return ElectionMachine(settings.machine(), partition)


async def service(bus: Bus, settings: ElectionServiceSettings, clock: Clock) -> Service:
    """Return one process of the election.

    Raises:
        TopicMismatch: a topic exists with settings that would lose history.
    """
    await create_service_topics(bus, settings)
    made = shards(
        NAME,
        lambda partition: machine(settings, partition),
        bus,
        settings,
        clock,
        announcer(bus),
    )
    return Service(
        NAME,
        bus,
        clock,
        made.replicas,
        answer,
        jobs=(made.presence.run, Guard(bus, made.replicas).run),
        on_stop=made.presence.leave,
        measures=(TeamMeasure(made.replicas, clock),),
    )
