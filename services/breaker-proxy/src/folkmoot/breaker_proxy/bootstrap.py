"""Puts the breaker-proxy together: its shards, and what it answers."""

from __future__ import annotations

from folkmoot.breaker_proxy.handlers import answer
from folkmoot.breaker_proxy.metrics import BreakerMeasure
from folkmoot.breaker_proxy.settings import BreakerProxyServiceSettings
from folkmoot.bus.ports import Bus
from folkmoot.core.breaker import BreakerMachine
from folkmoot.core.tracing.breakers import BreakerSpans
from folkmoot.runtime.clock import Clock
from folkmoot.runtime.service import Service, announcer
from folkmoot.runtime.shards import create_service_topics, shards
from folkmoot.runtime.tracing import tracing

NAME = "breaker-proxy"


def machine(settings: BreakerProxyServiceSettings, partition: int) -> BreakerMachine:
    """Return the machine of one shard."""
    return BreakerMachine(settings.machine(), partition)


async def service(bus: Bus, settings: BreakerProxyServiceSettings, clock: Clock) -> Service:
    """Return one process of the breaker-proxy.

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
        BreakerSpans(traces.sampler),
    )
    return Service(
        NAME,
        bus,
        clock,
        made.replicas,
        answer,
        jobs=(made.presence.run, *traces.jobs),
        on_stop=made.presence.leave,
        measures=(BreakerMeasure(made.replicas, clock), traces.measure),
        on_stopped=traces.close,
        tracing=traces,
    )
