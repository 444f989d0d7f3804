"""Every NATS subject of Folkmoot, in one place, and who uses it."""

from __future__ import annotations

import re
from dataclasses import dataclass
from urllib.parse import unquote

from folkmoot.contracts.topics import SERVICES


def query(service: str, partition: int | str) -> str:
    """Return the subject on which a shard of `service` answers questions."""
    return f"folkmoot.query.{service}.{partition}"


def leader_announcement(team: str) -> str:
    """Return the subject on which a team's new leader is announced."""
    return f"folkmoot.announce.leaders.{team}"


def presence(service: str) -> str:
    """Return the subject on which the processes of `service` tell each other that they run."""
    return f"folkmoot.announce.members.{service}"


def traces(service: str) -> str:
    """Return the subject on which the processes of `service` say how far spans are exported."""
    return f"folkmoot.announce.traces.{service}"


def progress(saga_id: str) -> str:
    """Return the subject on which steps of a saga report progress."""
    return f"folkmoot.progress.{saga_id}"


GOSSIP = "folkmoot.gossip.*.*"
"""All that members tell each other of shared knowledge."""

_UNSAFE = re.compile(r"[^A-Za-z0-9_-]")


def gossip(member: str, topic: str) -> str:
    """Return the subject on which `member` tells of a shared document, or of all in short.

    Letters, digits, `-` and `_` of the member's name stand for themselves, every other byte for
    `=` and two hexadecimal digits, so that no two members share a subject.
    """
    token = _UNSAFE.sub(lambda match: "".join(f"={b:02X}" for b in match[0].encode()), member)
    return f"folkmoot.gossip.{token}.{topic}"


def gossip_sender(subject: str) -> str:
    """Return the member that tells on a subject made by `gossip`."""
    token = subject.split(".")[2]
    return unquote(token.replace("=", "%"))


@dataclass(frozen=True, slots=True)
class SubjectRule:
    """One family of subjects: who publishes there, and who listens.

    Whoever listens where requests come in may answer them.
    """

    pattern: str
    publishers: tuple[str, ...]
    listeners: tuple[str, ...]
    requests: bool = False


_WORKER, _USER = "agent-worker", "user"
_TRACED = ("saga-orchestrator", "breaker-proxy")

SUBJECTS: tuple[SubjectRule, ...] = (
    *(SubjectRule(query(name, "*"), (_WORKER, _USER), (name,), requests=True) for name in SERVICES),
    *(SubjectRule(presence(name), (name,), (name,)) for name in SERVICES),
    *(SubjectRule(traces(name), (name,), (name,)) for name in (*_TRACED, _WORKER)),
    SubjectRule(leader_announcement("*"), ("election",), (_WORKER, _USER)),
    SubjectRule("folkmoot.announce.controls.*", ("saga-orchestrator",), (_USER,)),
    SubjectRule("folkmoot.announce.appends.*", ("event-store",), (_USER,)),
    SubjectRule(progress("*"), (_WORKER,), (_USER,)),
    SubjectRule(GOSSIP, (_WORKER,), (_WORKER, _USER)),
)
"""The registry from which permissions are made. What is not here is nobody's."""
