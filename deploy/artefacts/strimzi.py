"""Topics, users and alert rules, as resources of the operators that keep them in a cluster."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml

from folkmoot.contracts.access import USERS, Cast, kafka_grants
from folkmoot.contracts.topics import TopicSpec, agent_topics, service_topics, team_topics
from folkmoot.dossier.agents import TEAM, agents

PROD = "deploy/k8s/overlays/prod"
MONITORING = "deploy/k8s/components/monitoring"
ALERTS = Path(__file__).resolve().parents[1] / "prometheus" / "alerts.yml"
CLUSTER = "folkmoot"
REPLICAS, MIN_INSYNC = 3, 2
CAST = Cast(tuple(agent.name for agent in agents), (TEAM,))
SCALER = "keda"
"""Who looks at lags to scale by them."""

PARTITIONS = 12
"""Shards of each service: fixed at creation, so as many as there will ever be pods of a service."""

MADE = "# Made by `make artefacts`. Do not edit.\n"


def files() -> dict[str, str]:
    """Return the topics of all services, those of the demo's team as an example, and the rest."""
    demo = [spec for agent in agents for spec in agent_topics(agent.name, agent.partitions)]
    return {
        f"{PROD}/topics.yaml": _documents(map(_topic, service_topics(PARTITIONS))),
        f"{PROD}/team-topics.yaml": _documents(map(_topic, [*team_topics(TEAM), *demo])),
        f"{PROD}/users.yaml": _documents([*map(_user, USERS), _scaler()]),
        f"{MONITORING}/rules.yaml": _documents([_rules()]),
    }


def _topic(spec: TopicSpec) -> dict[str, Any]:
    config: Mapping[str, str] = {**spec.config, "min.insync.replicas": str(MIN_INSYNC)}
    return {
        "apiVersion": "kafka.strimzi.io/v1",
        "kind": "KafkaTopic",
        "metadata": {"name": spec.name, "labels": {"strimzi.io/cluster": CLUSTER}},
        "spec": {"partitions": spec.partitions, "replicas": REPLICAS, "config": dict(config)},
    }


def _user(name: str) -> dict[str, Any]:
    grants = kafka_grants(name, CAST)
    acls = [_acl(grant.resource, grant.name, "literal", grant.operations) for grant in grants]
    return _kafka_user(name, acls)


def _scaler() -> dict[str, Any]:
    """Return a user that sees how far groups are, and nothing of what they read."""
    kinds = ("topic", "group")
    return _kafka_user(SCALER, [_acl(kind, "folkmoot.", "prefix", ("Describe",)) for kind in kinds])


def _acl(kind: str, name: str, pattern: str, operations: Sequence[str]) -> dict[str, Any]:
    resource = {"type": kind, "name": name, "patternType": pattern}
    return {"resource": resource, "operations": list(operations)}


def _kafka_user(name: str, acls: list[dict[str, Any]]) -> dict[str, Any]:
    return {
        "apiVersion": "kafka.strimzi.io/v1",
        "kind": "KafkaUser",
        "metadata": {"name": name, "labels": {"strimzi.io/cluster": CLUSTER}},
        "spec": {
            "authentication": {"type": "scram-sha-512"},
            "authorization": {"type": "simple", "acls": acls},
        },
    }


def _rules() -> dict[str, Any]:
    return {
        "apiVersion": "monitoring.coreos.com/v1",
        "kind": "PrometheusRule",
        "metadata": {"name": "folkmoot"},
        "spec": yaml.safe_load(ALERTS.read_text()),
    }


def _documents(resources: Iterator[dict[str, Any]] | Sequence[dict[str, Any]]) -> str:
    return MADE + "---\n".join(yaml.safe_dump(each, sort_keys=False) for each in resources)
