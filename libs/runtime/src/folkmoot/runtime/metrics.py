"""A service's metrics for Prometheus, made when they are scraped.

Nothing is kept for them beyond the counts of `tally`: everything else is read from what is there.
What has to be counted by walking over a state is a `Survey`, which bounds what that costs.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from prometheus_client import CollectorRegistry
from prometheus_client.core import Metric
from prometheus_client.registry import Collector

from folkmoot.runtime.loop_watch import LoopWatch
from folkmoot.runtime.replica import Replica
from folkmoot.runtime.seat import Role
from folkmoot.runtime.service import Service, ShardHealth
from folkmoot.runtime.sheet import Sheet
from folkmoot.runtime.tally import MS


class ServiceCollector(Collector):
    """Collects from one service; costs nothing between scrapes."""

    def __init__(self, service: Service, watch: LoopWatch) -> None:
        self._service, self._watch = service, watch

    def collect(self) -> Iterator[Metric]:
        """Yield the metrics as of now."""
        sheet = Sheet(self._service.name)
        shards = self._service.health().shards
        for replica, health in zip(self._service.replicas, shards, strict=True):
            _tell_replica(sheet, replica, health)
        for measure in self._service.measures:
            measure(sheet)
        sheet.put_histogram("event_loop_delay_seconds", self._watch.delays)
        sheet.put_histogram("garbage_pause_seconds", self._watch.collections)
        refusals = self._service.bus.refusals
        sheet.put("bus_refusals_total", refusals.kafka, "kafka")
        sheet.put("bus_refusals_total", refusals.nats, "nats")
        yield from sheet.families()


def _tell_replica(sheet: Sheet, replica: Replica[Any], health: ShardHealth) -> None:
    shard = health.shard
    for name, value in _values(replica, health).items():
        sheet.put(name, value, shard)
    for role in Role:
        sheet.put("role", float(role is replica.role), shard, role.value)
    sheet.put("holder_info", 1.0, shard, health.holder or "")
    for topic, lag in replica.lag.items():
        sheet.put("inbox_lag", lag, shard, topic)
    for outcome, count in _outcomes(replica).items():
        sheet.put("inputs_total", count, shard, outcome)
    for reason in ("bus", "defect"):
        sheet.put("failures_total", replica.tally.failures[reason], shard, reason)
    sheet.put_histogram("append_seconds", replica.tally.appends, shard)
    if (newest := replica.archive.newest) is not None:
        age_ms = max(0, replica.shard.at - newest.at)
        sheet.put("snapshot_age_seconds", age_ms / MS, shard)
        sheet.put("snapshot_bytes", newest.size, shard)


def _values(replica: Replica[Any], health: ShardHealth) -> Mapping[str, float]:
    return {
        "term": health.term,
        "log_offset": health.offset,
        "pending_effects": health.pending_effects,
        "progress_age_seconds": health.idle_ms / MS,
        "appended_records_total": replica.tally.records,
        "effects_total": replica.tally.effects,
        "dead_letters_total": replica.tally.dead_letters,
        "terms_led_total": replica.failovers,
        "fenced_appends_total": replica.fenced,
        "snapshots_written_total": replica.archive.written,
        "snapshots_unreadable_total": replica.archive.unreadable,
        "restore_seconds": replica.restored_ms / MS,
    }


def _outcomes(replica: Replica[Any]) -> Mapping[str, int]:
    tally = replica.tally
    return {
        "decided": tally.entries,
        "unchanged": tally.inputs - tally.entries - tally.refused,
        "refused": tally.refused,
    }


def registry(service: Service, watch: LoopWatch | None = None) -> CollectorRegistry:
    """Return a registry of its own for `service`, whose event loop somebody may `watch`."""
    made = CollectorRegistry()
    made.register(ServiceCollector(service, watch or LoopWatch()))
    return made
