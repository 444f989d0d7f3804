"""Puts the saga-orchestrator together: its shards, and what it answers."""

from __future__ import annotations

import asyncio

from folkmoot.bus.ports import Bus
from folkmoot.core.saga import SagaMachine, SagaState
from folkmoot.core.tracing.sagas import SagaSpans
from folkmoot.runtime.clock import Clock
from folkmoot.runtime.service import Service, announcer
from folkmoot.runtime.shards import create_service_topics, shards
from folkmoot.runtime.tracing import tracing
from folkmoot.saga_orchestrator.handlers import answer
from folkmoot.saga_orchestrator.metrics import SagaMeasure
from folkmoot.saga_orchestrator.settings import SagaOrchestratorServiceSettings

NAME = "saga-orchestrator"

INDEX_EVERY_S = 0.2
INDEXED_AT_ONCE = 500
"""Sagas of a shard that the index takes in at a time: about a millisecond, 2,500 a second."""


def machine(settings: SagaOrchestratorServiceSettings, partition: int) -> SagaMachine:
    """Return the machine of one shard."""
    return SagaMachine(settings.machine(), partition)


async def service(bus: Bus, settings: SagaOrchestratorServiceSettings, clock: Clock) -> Service:
    """Return one process of the saga-orchestrator.

    Raises:
        TopicMismatch: a topic exists with settings that would lose history.
    """
    await create_service_topics(bus, settings)
    traces = tracing(NAME, bus, settings, clock)
    made = shards(
        NAME,
        lambda partition: machine(settings, partition),
        bus,
        settings,
        clock,
        announcer(bus),
        traces,
        SagaSpans(traces.sampler),
    )

    async def keep_index() -> None:
        """Work off what the shards note for their indexes, so that nobody who asks has to wait."""
        while True:
            for replica in made.replicas:
                state: SagaState = replica.shard.state
                state.index.refresh(state, INDEXED_AT_ONCE)
            await asyncio.sleep(INDEX_EVERY_S)

    return Service(
        NAME,
        bus,
        clock,
        made.replicas,
        answer,
        jobs=(made.presence.run, keep_index, *traces.jobs),
        on_stop=made.presence.leave,
        on_stopped=traces.close,
        measures=(SagaMeasure(made.replicas, clock), traces.measure),
        tracing=traces,
    )
