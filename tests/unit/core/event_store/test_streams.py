"""Which read-only stream an event of another service's log belongs to."""

from __future__ import annotations

import pytest

from folkmoot.core.event_store import RESERVED_PREFIXES, stream_of

FIELDS = {"saga_id": "s1", "team": "red", "target": "writer"}


@pytest.mark.parametrize(
    ("topic", "stream"),
    [
        ("folkmoot.saga-orchestrator.log", "saga-s1"),
        ("folkmoot.election.log", "team-red"),
        ("folkmoot.breaker-proxy.log", "breaker-writer"),
        ("folkmoot.agent.writer.log", "work-s1/agent.writer/2"),
        ("folkmoot.team.red.log", "work-s1/team.red/2"),
        ("folkmoot.other.log", "$folkmoot.other.log/2"),
    ],
)
def test_an_event_belongs_to_the_stream_that_its_log_is_keyed_by(topic: str, stream: str) -> None:
    assert stream_of(topic, 2, FIELDS) == stream
    assert stream.startswith(RESERVED_PREFIXES)


@pytest.mark.parametrize(
    "topic",
    ["folkmoot.saga-orchestrator.log", "folkmoot.election.log", "folkmoot.agent.writer.log"],
)
@pytest.mark.parametrize("data", [{}, {"saga_id": "", "team": None}, {"saga_id": 7, "team": 7}])
def test_an_event_without_the_field_belongs_to_its_partition(
    topic: str, data: dict[str, object]
) -> None:
    assert stream_of(topic, 1, data) == f"${topic}/1"


def test_workers_of_one_saga_never_share_a_stream_across_partitions() -> None:
    found = {
        stream_of(topic, partition, FIELDS)
        for topic in ("folkmoot.agent.a.log", "folkmoot.agent.b.log", "folkmoot.team.a.log")
        for partition in (0, 1)
    }
    assert len(found) == 6
