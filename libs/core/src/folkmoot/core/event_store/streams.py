"""Which stream an event belongs to: users' streams by name, every other log's by its fields.

A stream never spans two partitions, so that its versions, counted in the order of one partition,
are the same for every reader:

| log | stream | its events |
| --- | --- | --- |
| event store | the user's name | what the user appended |
| saga orchestrator | `saga-SAGA` | the history of a saga |
| election | `team-TEAM` | the leadership of a team |
| breaker | `breaker-TARGET` | the transitions of a breaker |
| agent and team workers | `work-SAGA/agent.NAME/PARTITION` | what one worker did for a saga |
| any | `$TOPIC/PARTITION` | what has no such field, such as a rejected input |
"""

from __future__ import annotations

from collections.abc import Mapping

from folkmoot.core.messages import log

RESERVED_PREFIXES = ("saga-", "team-", "agent-", "breaker-", "work-", "$")
"""Beginnings of streams that are made from other services' logs, so that nobody can add to them."""

_KEYED: Mapping[str, tuple[str, str]] = {
    log("saga-orchestrator"): ("saga_id", "saga-"),
    log("election"): ("team", "team-"),
    log("breaker-proxy"): ("target", "breaker-"),
}
_WORKERS = ("folkmoot.agent.", "folkmoot.team.")
_LOG = ".log"


def stream_of(topic: str, partition: int, data: Mapping[str, object]) -> str:
    """Return the read-only stream of an event with these fields in a log."""
    if topic in _KEYED:
        field, prefix = _KEYED[topic]
        if (name := _word(data, field)) is not None:
            return prefix + name
    elif topic.startswith(_WORKERS) and (saga_id := _word(data, "saga_id")) is not None:
        worker = topic.removeprefix("folkmoot.").removesuffix(_LOG)
        return f"work-{saga_id}/{worker}/{partition}"
    return f"${topic}/{partition}"


def _word(data: Mapping[str, object], field: str) -> str | None:
    value = data.get(field)
    return value if isinstance(value, str) and value else None
