"""Every metric of Folkmoot, in one registry.

What a service exposes is checked against it as it is scraped, so nothing else can be exposed. The
reference page is made from it, and the queries of dashboards and alerts are checked against it.

Names are Prometheus's: base units, and `_total` for what only grows. `told_by` says who tells it,
and so how to add it up:

- `process`: each process of the service, of itself.
- `replica`: each replica of a shard, of itself. Leader and standbys tell the same term and offset.
- `leader`: only who leads the shard, so that a sum counts nothing twice.

No label has more values than its sender bounds: agents and teams beyond that are one, `_others`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

Kind = Literal["counter", "gauge", "histogram"]
TellerOf = Literal["process", "replica", "leader"]

OTHERS = "_others"
"""The label of all agents or teams beyond those that are told one by one."""

APPEND_BUCKETS_S = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 10.0)
"""From an idle disk to longer than a ttl, after which somebody else may lead."""

LOOP_BUCKETS_S = (0.001, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5)
"""Half a second is a third of the usual ttl: from there on a beat may come too late."""

SAGA_BUCKETS_S = (0.025, 0.1, 0.5, 1.0, 5.0, 15.0, 60.0, 300.0, 1_800.0, 14_400.0)
"""From three hops to what waits for people."""

_SHARD = ("service", "shard")


@dataclass(frozen=True, slots=True)
class MetricRule:
    """One metric. `services` are those that expose it."""

    name: str
    kind: Kind
    unit: str
    labels: tuple[str, ...]
    meaning: str
    told_by: TellerOf
    services: tuple[str, ...]
    buckets: tuple[float, ...] = ()

    @property
    def samples(self) -> tuple[str, ...]:
        """The names that a query can use."""
        if self.kind == "histogram":
            return tuple(f"{self.name}_{part}" for part in ("bucket", "count", "sum"))
        return (self.name,)


_ALL = ("election", "event-store", "saga-orchestrator", "breaker-proxy", "agent-worker")
_TRACED = ("saga-orchestrator", "breaker-proxy", "agent-worker")
_STORE, _SAGAS, _BREAKERS, _ELECTION, _WORKER = (
    ("event-store",),
    ("saga-orchestrator",),
    ("breaker-proxy",),
    ("election",),
    ("agent-worker",),
)


def _replica(
    name: str, kind: Kind, unit: str, meaning: str, *more: str, told_by: TellerOf = "replica"
) -> MetricRule:
    return MetricRule(f"folkmoot_{name}", kind, unit, (*_SHARD, *more), meaning, told_by, _ALL)


def _of(
    services: tuple[str, ...], name: str, kind: Kind, unit: str, meaning: str, *more: str
) -> MetricRule:
    return MetricRule(f"folkmoot_{name}", kind, unit, (*_SHARD, *more), meaning, "leader", services)


REGISTRY: tuple[MetricRule, ...] = (
    _replica("role", "gauge", "", "1 for what the replica is doing", "role"),
    _replica("term", "gauge", "", "Term of the shard's leader: the offset of its claim"),
    _replica("holder_info", "gauge", "", "Who leads, as this replica has read", "holder"),
    _replica("log_offset", "gauge", "records", "Next log offset"),
    _replica("pending_effects", "gauge", "effects", "Effects not acknowledged"),
    _replica(
        "progress_age_seconds", "gauge", "seconds", "Time since a log record was read or written"
    ),
    _replica(
        "inbox_lag", "gauge", "records", "Inputs not yet consumed, by topic", "topic",
        told_by="leader",
    ),
    _replica(
        "inputs_total", "counter", "inputs",
        "Inputs taken here: `decided` has an entry in the log, `unchanged` has none (a duplicate, "
        "or nothing to do), `refused` is one of this process that cannot be accepted",
        "outcome",
    ),
    MetricRule(
        "folkmoot_append_seconds", "histogram", "seconds", _SHARD,
        "From an append to its acknowledgement, of a batch of inputs each", "replica", _ALL,
        APPEND_BUCKETS_S,
    ),
    _replica("appended_records_total", "counter", "records", "Log records appended here"),
    _replica("effects_total", "counter", "effects", "Effects acknowledged by their targets"),
    _replica(
        "dead_letters_total", "counter", "letters",
        "Dead letters sent: input that cannot be read or accepted, and effects that no topic takes",
    ),
    _replica(
        "terms_led_total", "counter", "terms", "Terms led here: the first, and one a fail-over"
    ),
    _replica(
        "fenced_appends_total", "counter", "appends", "Appends that came after another's claim"
    ),
    _replica(
        "failures_total", "counter", "failures",
        "Times a replica was made anew from its log: `bus` failed it, or an input was a `defect`",
        "reason",
    ),
    _replica("snapshot_age_seconds", "gauge", "seconds", "Log time since the newest snapshot"),
    _replica("snapshot_bytes", "gauge", "bytes", "Size of the newest snapshot"),
    _replica("snapshots_written_total", "counter", "snapshots", "Snapshots written here"),
    _replica(
        "snapshots_unreadable_total", "counter", "snapshots", "Snapshots passed over in restoring"
    ),
    _replica("restore_seconds", "gauge", "seconds", "How long the last restore took"),
    MetricRule(
        "folkmoot_event_loop_delay_seconds", "histogram", "seconds", ("service",),
        "By how much the event loop is late, looked at ten times a second", "process", _ALL,
        LOOP_BUCKETS_S,
    ),
    MetricRule(
        "folkmoot_garbage_pause_seconds", "histogram", "seconds", ("service",),
        "How long everything stood still while Python looked for garbage", "process", _ALL,
        LOOP_BUCKETS_S,
    ),
    MetricRule(
        "folkmoot_spans_exported_total", "counter", "spans", ("service",),
        "Spans sent to the collector of traces", "process", _TRACED,
    ),
    MetricRule(
        "folkmoot_spans_dropped_total", "counter", "spans", ("service",),
        "Spans lost: the collector is away, or slower than they come", "process", _TRACED,
    ),
    MetricRule(
        "folkmoot_bus_refusals_total", "counter", "refusals", ("service", "broker"),
        "What Kafka and NATS did not let this process do; one is one too many", "process", _ALL,
    ),
    MetricRule(
        "folkmoot_index_lag", "gauge", "records", ("service",),
        "Records of all logs that the index has not taken in, as of the last look", "process",
        _STORE,
    ),
    MetricRule(
        "folkmoot_index_age_seconds", "gauge", "seconds", ("service",),
        "How long ago a log record was seen that the index has not taken in since", "process",
        _STORE,
    ),
    _of(
        _SAGAS, "sagas_open", "gauge", "sagas",
        "Open sagas by state: planning, running, aggregating, compensating, paused, "
        "queued, stuck",
        "team", "state",
    ),
    _of(
        _SAGAS, "sagas_ended_total", "counter", "sagas",
        "Sagas that ended completed, compensated, failed or terminated", "team", "state",
    ),
    MetricRule(
        "folkmoot_saga_seconds", "histogram", "seconds", (*_SHARD, "team"),
        "Log time from a saga's opening to its end", "leader", _SAGAS, SAGA_BUCKETS_S,
    ),
    _of(_BREAKERS, "breakers", "gauge", "agents", "Breakers by state, of all agents", "state"),
    _of(
        _BREAKERS, "breaker_state", "gauge", "",
        "1 for the state of an agent's breaker: closed, open, half-open", "agent", "team", "state",
    ),
    _of(
        _BREAKERS, "breaker_transitions_total", "counter", "transitions",
        "Changes of an agent's breaker from one state to another", "agent",
    ),
    _of(
        _BREAKERS, "breaker_calls_total", "counter", "calls",
        "Calls to an agent: admitted, ended, expired, refused", "agent", "outcome",
    ),
    _of(_BREAKERS, "breaker_calls_in_flight", "gauge", "calls", "Calls that workers have", "agent"),
    _of(_BREAKERS, "breaker_calls_queued", "gauge", "calls", "Calls that wait for room", "agent"),
    _of(
        _ELECTION, "teams", "gauge", "teams",
        "Teams by state: led, leaderless, and empty, which have no members", "state",
    ),
    _of(
        _ELECTION, "team_without_leader", "gauge", "",
        "1 for a team that has members and no leader", "team",
    ),
    _of(_ELECTION, "leader_changes_total", "counter", "changes", "Changes of leader, of all teams"),
    _of(_ELECTION, "sessions", "gauge", "sessions", "Members that are alive"),
    _of(_WORKER, "calls_running", "gauge", "calls", "Calls whose handlers run, or ask somebody"),
    _of(_WORKER, "calls_waiting", "gauge", "calls", "Calls that wait for their turn"),
    _of(_WORKER, "calls_ended_total", "counter", "calls", "Calls that ended, whoever led"),
    MetricRule(
        "folkmoot_knowledge_documents", "gauge", "documents", ("service",),
        "Shared documents known here", "process", _WORKER,
    ),
    MetricRule(
        "folkmoot_knowledge_differing_documents", "gauge", "documents", ("service",),
        "Shared documents that some peer has otherwise, found since the last second began",
        "process", _WORKER,
    ),
    MetricRule(
        "folkmoot_knowledge_problems_total", "counter", "messages", ("service", "kind"),
        "Gossip and records that cannot be used: malformed, mismatched, refused, unreadable, or "
        "showing that two replicas have diverged", "process", _WORKER,
    ),
)  # fmt: skip

BY_NAME: Mapping[str, MetricRule] = {rule.name: rule for rule in REGISTRY}

SAMPLES: Mapping[str, MetricRule] = {name: rule for rule in REGISTRY for name in rule.samples}
"""Every name that a query can use, and the metric that it belongs to."""
