"""Every topic of Folkmoot, in one registry.

Topic creation, access lists and the reference table are all made from here. Names with a `{name}`
are families: one set of topics for each agent or team.

A log topic is the history itself: it is never compacted, never expires, and is stamped by the
broker. Partition counts are fixed at creation, because keys are placed by them.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from folkmoot.core.kernel import DEAD_LETTERS
from folkmoot.core.messages import LEADERS, TASK_RESULTS, TASKS

SERVICES = ("election", "event-store", "saga-orchestrator", "breaker-proxy")
"""The services that have shards of their own. Agents and teams have theirs, by name."""

KNOWLEDGE = "folkmoot.knowledge"

Role = Literal["inbox", "log", "latest", "results", "snapshots"]

_DAY_MS = 24 * 3600 * 1000
CONFIGS: Mapping[Role, Mapping[str, str]] = {
    "inbox": {"cleanup.policy": "delete", "retention.ms": str(7 * _DAY_MS)},
    "log": {
        "cleanup.policy": "delete",
        "retention.ms": "-1",
        "retention.bytes": "-1",
        "message.timestamp.type": "LogAppendTime",
    },
    "latest": {"cleanup.policy": "compact"},
    "results": {"cleanup.policy": "delete", "retention.ms": str(7 * _DAY_MS)},
    "snapshots": {
        "cleanup.policy": "compact",
        "segment.bytes": str(64 * 1024 * 1024),
        "segment.ms": str(_DAY_MS),
        "min.cleanable.dirty.ratio": "0.1",
    },
}
"""Topic settings by role. Inboxes and results keep a week: longer than any outage that is not a
disaster, and what was decided stands in the logs for ever. Snapshots lie in small segments that are
soon compacted, because whoever restores reads over the old ones."""


@dataclass(frozen=True, slots=True)
class TopicRule:
    """One topic, or one family of topics."""

    name: str
    role: Role
    key: str
    value: str
    writers: tuple[str, ...]
    readers: tuple[str, ...]
    single_partition: bool = False


@dataclass(frozen=True, slots=True)
class TopicSpec:
    """A topic to create."""

    name: str
    partitions: int
    config: Mapping[str, str]


_ORCHESTRATOR, _BREAKER = "saga-orchestrator", "breaker-proxy"
_ALL = (*SERVICES, "agent-worker")

REGISTRY: tuple[TopicRule, ...] = (
    TopicRule(TASKS, "inbox", "task id", "Task", ("user",), (_ORCHESTRATOR,)),
    TopicRule(TASK_RESULTS, "results", "saga id", "TaskResult", (_ORCHESTRATOR,), ("user",)),
    TopicRule(
        "folkmoot.election.inbox",
        "inbox",
        "team",
        "Join, BeatSession, Leave, ResignLeadership, ConfigureTeam",
        ("agent-worker", "user"),
        ("election",),
    ),
    TopicRule(
        "folkmoot.event-store.inbox", "inbox", "stream", "Append", ("user",), ("event-store",)
    ),
    TopicRule(
        "folkmoot.saga-orchestrator.inbox",
        "inbox",
        "saga id",
        "Outcome, CancelSaga, TeamFormed, StartChild, PauseChild",
        ("agent-worker", _BREAKER, _ORCHESTRATOR, "election", "user"),
        (_ORCHESTRATOR,),
    ),
    TopicRule(
        "folkmoot.breaker-proxy.inbox",
        "inbox",
        "agent",
        "Call, Outcome, CancelCall, RegisterAgent",
        (_ORCHESTRATOR, "agent-worker"),
        (_BREAKER,),
    ),
    *(
        TopicRule(
            f"folkmoot.{name}.log",
            "log",
            "",
            "log records",
            (name,),
            (name, "event-store", *(("user",) if name == "election" else ())),
        )
        for name in SERVICES
    ),
    *(
        TopicRule(
            f"folkmoot.{name}.snapshots", "snapshots", "place/chunk", "snapshots", (name,), (name,)
        )
        for name in SERVICES
    ),
    TopicRule(
        "folkmoot.agent.{name}.inbox",
        "inbox",
        "",
        "Call, CancelCall",
        (_BREAKER,),
        ("agent-worker",),
    ),
    TopicRule(
        "folkmoot.agent.{name}.log",
        "log",
        "",
        "log records",
        ("agent-worker",),
        ("agent-worker", "event-store"),
    ),
    TopicRule(
        "folkmoot.agent.{name}.snapshots",
        "snapshots",
        "place/chunk",
        "snapshots",
        ("agent-worker",),
        ("agent-worker",),
    ),
    TopicRule(
        "folkmoot.team.{name}.inbox",
        "inbox",
        "",
        "Call, CancelCall",
        (_ORCHESTRATOR,),
        ("agent-worker",),
        single_partition=True,
    ),
    TopicRule(
        "folkmoot.team.{name}.log",
        "log",
        "",
        "log records",
        ("agent-worker",),
        ("agent-worker", "event-store"),
        single_partition=True,
    ),
    TopicRule(
        "folkmoot.team.{name}.snapshots",
        "snapshots",
        "place/chunk",
        "snapshots",
        ("agent-worker",),
        ("agent-worker",),
        single_partition=True,
    ),
    TopicRule(
        LEADERS, "latest", "team", "Leader", ("election",), (*_ALL, "user"), single_partition=True
    ),
    TopicRule(
        KNOWLEDGE,
        "latest",
        "document/replica/n",
        "CRDT deltas",
        ("agent-worker",),
        ("agent-worker", "user"),
        single_partition=True,
    ),
    TopicRule(
        DEAD_LETTERS, "results", "topic", "DeadLetter", _ALL, ("user",), single_partition=True
    ),
)


def _specs(rules: Sequence[TopicRule], partitions: int, name: str = "") -> list[TopicSpec]:
    return [
        TopicSpec(
            rule.name.replace("{name}", name),
            1 if rule.single_partition else partitions,
            CONFIGS[rule.role],
        )
        for rule in rules
    ]


def service_topics(partitions: int, user: str = "") -> list[TopicSpec]:
    """Return the topics that exist once, with `partitions` shards for each service.

    With a `user`, only those that it reads or writes: brokers that know who it is show it no other.
    """
    once = [rule for rule in REGISTRY if "{name}" not in rule.name]
    seen = [rule for rule in once if not user or user in (*rule.readers, *rule.writers)]
    return _specs(seen, partitions)


def agent_topics(agent: str, partitions: int) -> list[TopicSpec]:
    """Return the topics of one agent, with `partitions` worker partitions."""
    family = [rule for rule in REGISTRY if rule.name.startswith("folkmoot.agent.{name}")]
    return _specs(family, partitions, agent)


def team_topics(team: str) -> list[TopicSpec]:
    """Return the topics of one team. Its shard has one partition: a team has one leader."""
    family = [rule for rule in REGISTRY if rule.name.startswith("folkmoot.team.{name}")]
    return _specs(family, 1, team)
