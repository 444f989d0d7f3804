"""A service's replicas as Prometheus metrics, read when they are scraped."""

from __future__ import annotations

from collections.abc import Iterator

from prometheus_client import CollectorRegistry
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from folkmoot.runtime.service import Service

LABELS = ("service", "shard")


class ReplicaCollector(Collector):
    """Collects from the replicas of one service; costs nothing between scrapes."""

    def __init__(self, service: Service) -> None:
        self._service = service

    def collect(self) -> Iterator[Metric]:
        """Yield the metrics as of now."""
        leads = GaugeMetricFamily("folkmoot_leads", "1 if this process leads", labels=LABELS)
        term = GaugeMetricFamily("folkmoot_term", "Term of the shard's leader", labels=LABELS)
        offset = GaugeMetricFamily("folkmoot_log_offset", "Next log offset", labels=LABELS)
        pending = GaugeMetricFamily(
            "folkmoot_pending_effects", "Effects not acknowledged", labels=LABELS
        )
        idle = GaugeMetricFamily(
            "folkmoot_progress_age_seconds", "Time since the last log record", labels=LABELS
        )
        failovers = CounterMetricFamily("folkmoot_terms_led", "Terms led here", labels=LABELS)
        fenced = CounterMetricFamily("folkmoot_fenced_appends", "Appends fenced", labels=LABELS)
        for replica, health in zip(
            self._service.replicas, self._service.health().shards, strict=True
        ):
            labels = (self._service.name, health.shard)
            leads.add_metric(labels, float(replica.leads))
            term.add_metric(labels, health.term)
            offset.add_metric(labels, health.offset)
            pending.add_metric(labels, health.pending_effects)
            idle.add_metric(labels, health.idle_ms / 1000)
            failovers.add_metric(labels, replica.failovers)
            fenced.add_metric(labels, replica.fenced)
        yield from (leads, term, offset, pending, idle, failovers, fenced)


def registry(service: Service) -> CollectorRegistry:
    """Return a registry of its own for `service`."""
    made = CollectorRegistry()
    made.register(ReplicaCollector(service))
    return made
