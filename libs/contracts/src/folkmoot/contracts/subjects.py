"""Every NATS subject of Folkmoot, in one place."""

from __future__ import annotations


def query(service: str, partition: int | str) -> str:
    """Return the subject on which a shard of `service` answers questions."""
    return f"folkmoot.query.{service}.{partition}"


def leader_announcement(team: str) -> str:
    """Return the subject on which a team's new leader is announced."""
    return f"folkmoot.announce.leaders.{team}"


def progress(saga_id: str) -> str:
    """Return the subject on which steps of a saga report progress."""
    return f"folkmoot.progress.{saga_id}"
