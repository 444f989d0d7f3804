"""Puts the event-store together: its shards, and what it answers."""

from __future__ import annotations

from folkmoot.bus.ports import Bus
from folkmoot.core.event_store import EventStoreMachine
from folkmoot.event_store.handlers import answer
from folkmoot.event_store.settings import EventStoreServiceSettings
from folkmoot.runtime.clock import Clock
from folkmoot.runtime.service import Service, announcer
from folkmoot.runtime.shards import create_service_topics, replicas

NAME = "event-store"


def machine(settings: EventStoreServiceSettings, partition: int) -> EventStoreMachine:
    """Return the machine of one shard."""
    return EventStoreMachine(settings.machine(), partition)


async def service(bus: Bus, settings: EventStoreServiceSettings, clock: Clock) -> Service:
    """Return one process of the event-store.

    Raises:
        TopicMismatch: a topic exists with settings that would lose history.
    """
    await create_service_topics(bus, settings.partitions)
    shards = replicas(
        NAME,
        lambda partition: machine(settings, partition),
        bus,
        settings,
        clock,
        settings.member(),
        announcer(bus),
    )
    return Service(NAME, bus, clock, shards, answer)
