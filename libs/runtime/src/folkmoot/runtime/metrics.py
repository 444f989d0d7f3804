"""A service's replicas as Prometheus metrics, read when they are scraped."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from prometheus_client import CollectorRegistry
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from folkmoot.runtime.replica import Replica
from folkmoot.runtime.seat import Role
from folkmoot.runtime.service import Service, ShardHealth

LABELS = ("service", "shard")
Family = GaugeMetricFamily | CounterMetricFamily


class ReplicaCollector(Collector):
    """Collects from the replicas of one service; costs nothing between scrapes."""

    def __init__(self, service: Service) -> None:
        self._service = service

    def collect(self) -> Iterator[Metric]:
        """Yield the metrics as of now."""
        families = _families()
        shards = self._service.health().shards
        for replica, health in zip(self._service.replicas, shards, strict=True):
            labels = (self._service.name, health.shard)
            for name, value in _values(replica, health).items():
                families[name].add_metric(labels, value)
            for role in Role:
                families["role"].add_metric((*labels, role.value), float(role is replica.role))
            families["holder"].add_metric((*labels, health.holder or ""), 1.0)
            for topic, lag in replica.lag.items():
                families["lag"].add_metric((*labels, topic), lag)
            if (newest := replica.archive.newest) is not None:
                age_ms = max(0, replica.shard.at - newest.at)
                families["snapshot_age"].add_metric(labels, age_ms / 1000)
                families["snapshot_size"].add_metric(labels, newest.size)
        yield from families.values()


def _families() -> dict[str, Family]:
    def gauge(name: str, meaning: str, *more: str) -> Family:
        return GaugeMetricFamily(f"folkmoot_{name}", meaning, labels=(*LABELS, *more))

    def counter(name: str, meaning: str) -> Family:
        return CounterMetricFamily(f"folkmoot_{name}", meaning, labels=LABELS)

    return {
        "role": gauge("role", "1 for what the replica is doing", "role"),
        "term": gauge("term", "Term of the shard's leader: the offset of its claim"),
        "holder": gauge("holder_info", "Who leads, as this replica has read", "holder"),
        "offset": gauge("log_offset", "Next log offset"),
        "pending": gauge("pending_effects", "Effects not acknowledged"),
        "age": gauge("progress_age_seconds", "Time since the last log record read or written"),
        "lag": gauge("inbox_lag", "Inputs not yet consumed, told by the leader", "topic"),
        "snapshot_age": gauge("snapshot_age_seconds", "Log time since the newest snapshot"),
        "snapshot_size": gauge("snapshot_bytes", "Size of the newest snapshot"),
        "restored": gauge("restore_seconds", "How long the last restore took"),
        "written": counter("snapshots_written", "Snapshots written here"),
        "unreadable": counter("snapshots_unreadable", "Snapshots passed over when restoring"),
        "failovers": counter("terms_led", "Terms led here: the first, and one a fail-over"),
        "fenced": counter("fenced_appends", "Appends that came after another leader's claim"),
    }


def _values(replica: Replica[Any], health: ShardHealth) -> dict[str, float]:
    return {
        "term": health.term,
        "offset": health.offset,
        "pending": health.pending_effects,
        "age": health.idle_ms / 1000,
        "restored": replica.restored_ms / 1000,
        "written": replica.archive.written,
        "unreadable": replica.archive.unreadable,
        "failovers": replica.failovers,
        "fenced": replica.fenced,
    }


def registry(service: Service) -> CollectorRegistry:
    """Return a registry of its own for `service`."""
    made = CollectorRegistry()
    made.register(ReplicaCollector(service))
    return made
