"""Topics, and the rules of alerting, as resources of the operators that keep them in a cluster."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml

from folkmoot.contracts.topics import TopicSpec, agent_topics, service_topics, team_topics
from folkmoot.dossier.agents import TEAM, agents

PROD = "deploy/k8s/overlays/prod"
MONITORING = "deploy/k8s/components/monitoring"
ALERTS = Path(__file__).resolve().parents[1] / "prometheus" / "alerts.yml"
CLUSTER = "folkmoot"
REPLICAS, MIN_INSYNC = 3, 2
PARTITIONS = 12
"""Shards of each service: fixed at creation, so as many as there will ever be pods of a service."""

MADE = "# Made by `make artefacts`. Do not edit.\n"


def files() -> dict[str, str]:
    """Return the topics of all services, those of the demo's team as an example, and the alerts."""
    demo = [spec for agent in agents for spec in agent_topics(agent.name, agent.partitions)]
    return {
        f"{PROD}/topics.yaml": _documents(map(_topic, service_topics(PARTITIONS))),
        f"{PROD}/team-topics.yaml": _documents(map(_topic, [*team_topics(TEAM), *demo])),
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


def _rules() -> dict[str, Any]:
    return {
        "apiVersion": "monitoring.coreos.com/v1",
        "kind": "PrometheusRule",
        "metadata": {"name": "folkmoot"},
        "spec": yaml.safe_load(ALERTS.read_text()),
    }


def _documents(resources: Iterator[dict[str, Any]] | Sequence[dict[str, Any]]) -> str:
    return MADE + "---\n".join(yaml.safe_dump(each, sort_keys=False) for each in resources)
