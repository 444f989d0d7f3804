"""Who may do what on the brokers, made from the registries of topics and subjects.

Every service is a user of its own; all agent workers of a deployment are one, and programs outside
are another. Nobody gets more than a registry says, and administrators do not appear here.

Kafka grants whole names or prefixes. The inbox and the log of an agent share a prefix, so agents
and teams are granted name by name: a deployment has to say which it has.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

from folkmoot.contracts.subjects import SUBJECTS
from folkmoot.contracts.topics import REGISTRY, SERVICES, TopicRule

WORKER, OUTSIDER = "agent-worker", "user"
USERS = (*SERVICES, WORKER, OUTSIDER)
"""The users of both brokers."""

_FAMILIES = ("folkmoot.agent.{name}.", "folkmoot.team.{name}.")


@dataclass(frozen=True, slots=True)
class Cast:
    """The agents and teams of a deployment, by name."""

    agents: tuple[str, ...] = ()
    teams: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, order=True)
class Grant:
    """What a user may do with one topic or group of Kafka. Operations have Kafka's own names."""

    resource: Literal["group", "topic"]
    name: str
    operations: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Permissions:
    """What a user may do on NATS: subjects to publish and to subscribe to."""

    publish: tuple[str, ...]
    subscribe: tuple[str, ...]
    answers: bool


def kafka_grants(user: str, cast: Cast) -> tuple[Grant, ...]:
    """Return what `user` may do on Kafka. Nobody may create, alter or delete anything."""
    return tuple(sorted([*_topics(user, cast), *_groups(user, cast)]))


def _topics(user: str, cast: Cast) -> Iterator[Grant]:
    for rule in REGISTRY:
        operations = []
        if user in rule.readers:
            operations.append("Read")
        if user in rule.writers:
            operations.append("Write")
        if not operations:
            continue
        operations.append("Describe")
        if user != OUTSIDER:  # who acts on a topic looks first whether it keeps history
            operations.append("DescribeConfigs")
        for name in _names(rule, cast):
            yield Grant("topic", name, tuple(sorted(operations)))


def _names(rule: TopicRule, cast: Cast) -> Sequence[str]:
    if "{name}" not in rule.name:
        return [rule.name]
    members = cast.agents if rule.name.startswith(_FAMILIES[0]) else cast.teams
    return [rule.name.replace("{name}", member) for member in members]


def _groups(user: str, cast: Cast) -> Iterator[Grant]:
    """Yield the groups in which a user's progress is made visible: one for each log it writes."""
    if user == WORKER:
        names = [f"folkmoot.agent.{name}" for name in cast.agents]
        names += [f"folkmoot.team.{name}" for name in cast.teams]
    else:
        names = [f"folkmoot.{user}"] if user in SERVICES else []
    for name in names:
        yield Grant("group", name, ("Describe", "Read"))


def inbox_prefix(user: str) -> str:
    """Return the prefix of the subjects on which answers to `user` come: nobody else's."""
    return f"_INBOX.{user}"


def nats_permissions(user: str) -> Permissions:
    """Return what `user` may do on NATS."""
    heard = [rule for rule in SUBJECTS if user in rule.listeners]
    return Permissions(
        tuple(sorted(rule.pattern for rule in SUBJECTS if user in rule.publishers)),
        tuple(sorted([*(rule.pattern for rule in heard), f"{inbox_prefix(user)}.>"])),
        any(rule.requests for rule in heard),
    )
