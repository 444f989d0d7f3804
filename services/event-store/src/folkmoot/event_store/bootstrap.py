"""Puts the event store together: its shards, the index of every log, and what it answers."""

from __future__ import annotations

import asyncio
import tempfile
from pathlib import Path

from folkmoot.bus.ports import Bus
from folkmoot.contracts.keys import partition_of
from folkmoot.core.event_store import EventStoreMachine
from folkmoot.event_store.handlers import Indexer, answer_queries
from folkmoot.event_store.index import Index
from folkmoot.event_store.metrics import IndexMeasure
from folkmoot.event_store.settings import EventStoreServiceSettings
from folkmoot.runtime.clock import Clock
from folkmoot.runtime.service import Service, announcer
from folkmoot.runtime.shards import create_service_topics, shards

NAME = "event-store"


def machine(settings: EventStoreServiceSettings, partition: int) -> EventStoreMachine:
    """Return the machine of one shard."""
    return EventStoreMachine(
        settings.machine(), partition, lambda stream: partition_of(stream, settings.partitions)
    )


async def service(bus: Bus, settings: EventStoreServiceSettings, clock: Clock) -> Service:
    """Return one process of the event store.

    Raises:
        TopicMismatch: a topic exists with settings that would lose history.
        IndexUnavailable: the index's folder cannot be used.
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
    measure = IndexMeasure(clock)

    async def serve_index() -> None:
        with tempfile.TemporaryDirectory(prefix="folkmoot-index-") as temporary:
            folder = settings.index_dir or Path(temporary)
            folder.mkdir(parents=True, exist_ok=True)
            index = Index(folder)
            try:
                async with asyncio.TaskGroup() as tasks:
                    tasks.create_task(Indexer(bus, index, measure).run())
                    tasks.create_task(answer_queries(bus, index))
            finally:
                index.close()

    return Service(
        NAME,
        bus,
        clock,
        made.replicas,
        jobs=(made.presence.run, serve_index),
        on_stop=made.presence.leave,
        measures=(measure,),
    )
