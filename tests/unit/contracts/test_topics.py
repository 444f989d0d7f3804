"""The registry of topics: no topic forgotten, and no history that a broker may delete."""

from __future__ import annotations

import re
from itertools import chain

import pytest

from folkmoot.contracts import subjects
from folkmoot.contracts.topics import (
    REGISTRY,
    SERVICES,
    TopicSpec,
    agent_topics,
    service_topics,
    team_topics,
)
from folkmoot.core.kernel import DEAD_LETTERS
from folkmoot.core.messages import LEADERS, TASK_RESULTS, TASKS, inbox, log, snapshots

EVERY = list(chain(service_topics(4), agent_topics("writer", 3), team_topics("newsroom")))
BY_NAME = {spec.name: spec for spec in EVERY}
SNAPSHOTS = {spec.name for spec in EVERY if spec.name.endswith(".snapshots")}
LOGS = [spec for spec in EVERY if spec.name.endswith(".log")]


def test_every_shard_has_an_inbox_a_log_and_snapshots_of_the_same_partitions() -> None:
    for service in (*SERVICES, "agent.writer", "team.newsroom"):
        assert BY_NAME[inbox(service)].partitions == BY_NAME[log(service)].partitions
        assert BY_NAME[snapshots(log(service))].partitions == BY_NAME[log(service)].partitions


@pytest.mark.parametrize("spec", LOGS, ids=lambda spec: spec.name)
def test_a_log_keeps_its_whole_history_and_is_stamped_by_the_broker(spec: TopicSpec) -> None:
    assert spec.config == {
        "cleanup.policy": "delete",
        "retention.ms": "-1",
        "retention.bytes": "-1",
        "message.timestamp.type": "LogAppendTime",
    }


def test_logs_are_all_that_is_kept_for_ever_and_only_states_are_compacted() -> None:
    forever = {s.name for s in EVERY if s.config.get("retention.ms") == "-1"}
    compacted = {s.name for s in EVERY if s.config["cleanup.policy"] == "compact"}
    assert forever == {spec.name for spec in LOGS}
    assert compacted == {LEADERS, "folkmoot.knowledge"} | SNAPSHOTS


def test_partitions_are_as_asked_except_where_one_is_the_rule() -> None:
    assert {s.partitions for s in agent_topics("writer", 3)} == {3}
    assert {s.partitions for s in team_topics("newsroom")} == {1}
    single = {s.name for s in service_topics(4) if s.partitions == 1}
    assert single == {LEADERS, "folkmoot.knowledge", DEAD_LETTERS}
    assert BY_NAME[TASKS].partitions == BY_NAME[log("saga-orchestrator")].partitions
    assert BY_NAME[TASK_RESULTS].partitions == 4


def test_families_are_named_after_their_agent_or_team() -> None:
    names = {s.name for s in agent_topics("writer", 3)} | {s.name for s in team_topics("newsroom")}
    assert names == {
        "folkmoot.agent.writer.inbox",
        "folkmoot.agent.writer.log",
        "folkmoot.agent.writer.snapshots",
        "folkmoot.team.newsroom.inbox",
        "folkmoot.team.newsroom.log",
        "folkmoot.team.newsroom.snapshots",
    }
    assert not any("{" in name for name in BY_NAME)


def test_every_rule_makes_exactly_one_topic_with_a_legal_name() -> None:
    assert len(EVERY) == len(REGISTRY) == len(BY_NAME)
    for spec in EVERY:
        assert re.fullmatch(r"folkmoot(\.[a-z0-9-]+)+", spec.name)


def test_every_topic_has_writers_and_readers() -> None:
    assert [rule.name for rule in REGISTRY if not rule.writers or not rule.readers] == []


def test_a_log_is_written_by_its_own_service_only() -> None:
    writers = {rule.name: rule.writers for rule in REGISTRY if rule.role == "log"}
    for service in SERVICES:
        assert writers[log(service)] == (service,)


def test_subjects_have_no_spaces_or_wildcards() -> None:
    made = [
        subjects.query("election", 3),
        subjects.query("event-store", "index"),
        subjects.leader_announcement("newsroom"),
        subjects.progress("0a1b"),
    ]
    assert made == [
        "folkmoot.query.election.3",
        "folkmoot.query.event-store.index",
        "folkmoot.announce.leaders.newsroom",
        "folkmoot.progress.0a1b",
    ]
