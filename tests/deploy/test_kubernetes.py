"""The rendered overlays: valid, restricted, and in line with what the services are."""

from __future__ import annotations

import copy
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import kubernetes_validate
import pytest
import yaml

from deploy.artefacts.files import ROOT
from deploy.custom_resources import is_custom, problems, schemas
from folkmoot.agent_worker.settings import WorkerServiceSettings
from folkmoot.contracts.access import Cast, Grant, kafka_grants
from folkmoot.contracts.topics import CONFIGS, REGISTRY, SERVICES
from folkmoot.dossier.agents import TEAM, agents
from folkmoot.runtime.settings import Settings
from folkmoot.runtime.timing import Timing

VERSION = "1.37"
OVERLAYS = ("dev", "prod")
WORKLOADS = {"Deployment", "StatefulSet"}
NAMES = {*SERVICES, "agent-worker"}
UNITS = {"Mi": 1, "Gi": 1024}

Resource = Mapping[str, Any]
RESOURCES: Mapping[str, list[Resource]] = {
    name: list(yaml.safe_load_all((ROOT / f"deploy/k8s/rendered/{name}.yaml").read_text()))
    for name in OVERLAYS
}
EACH = [(name, each) for name in OVERLAYS for each in RESOURCES[name]]


def label(value: object) -> str:
    if isinstance(value, dict):
        return f"{value['kind']}-{value['metadata']['name']}"
    return str(value)


def of(overlay: str, *kinds: str) -> list[Resource]:
    return [each for each in RESOURCES[overlay] if each["kind"] in kinds]


def service_pods(overlay: str) -> Iterator[tuple[str, Resource]]:
    for workload in of(overlay, "Deployment"):
        template = workload["spec"]["template"]
        if template["metadata"]["labels"].get("folkmoot.dev/kind") == "service":
            yield workload["metadata"]["name"], template["spec"]


def named(resources: list[Resource]) -> set[str]:
    return {each["metadata"]["name"] for each in resources}


def settings(overlay: str) -> Mapping[str, str]:
    (made,) = of(overlay, "ConfigMap")
    return dict(made["data"])


# -- what Kubernetes says of it --------------------------------------------------------------------


@pytest.mark.parametrize(
    ("overlay", "resource"), [each for each in EACH if not is_custom(each[1])], ids=label
)
def test_a_resource_is_what_kubernetes_takes(overlay: str, resource: Resource) -> None:
    kubernetes_validate.validate(resource, VERSION, strict=True)


def test_a_field_that_does_not_exist_is_noticed() -> None:
    wrong: Any = copy.deepcopy(of("dev", "Deployment")[0])
    wrong["spec"]["template"]["spec"]["containers"][0]["resourcess"] = {}
    with pytest.raises(kubernetes_validate.ValidationError):
        kubernetes_validate.validate(wrong, VERSION, strict=True)


def test_nothing_is_there_twice() -> None:
    for overlay in OVERLAYS:
        ids = [(each["apiVersion"], label(each)) for each in RESOURCES[overlay]]
        assert len(ids) == len(set(ids))


def test_what_an_operator_would_not_take_is_noticed(tmp_path: Path) -> None:
    spec = {"type": "object", "properties": {"pollingInterval": {"type": "integer"}}}
    schema = {"type": "object", "properties": {"spec": spec, "kind": {}, "apiVersion": {}}}
    version = {"name": "v1alpha1", "schema": {"openAPIV3Schema": schema}}
    names = {"kind": "ScaledObject"}
    definition = {"group": "keda.sh", "names": names, "versions": [version]}
    made = {"kind": "CustomResourceDefinition", "spec": definition}
    (tmp_path / "keda.yaml").write_text(yaml.safe_dump(made))
    known = schemas(tmp_path)

    def wrong(**fields: object) -> list[str]:
        meta = {"apiVersion": "keda.sh/v1alpha1", "metadata": {"name": "x"}}
        return problems(iter([{**meta, "kind": "ScaledObject", **fields}]), known)

    assert wrong(spec={"pollingInterval": 5}) == []
    assert wrong(spec={"pollingInterval": "often"})
    assert wrong(spec={"pollInterval": 5})
    assert wrong(kind="ScaledThing")


# -- what no pod may do ----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("overlay", "workload"), [each for each in EACH if each[1]["kind"] in WORKLOADS], ids=label
)
def test_a_pod_is_restricted(overlay: str, workload: Resource) -> None:
    pod = workload["spec"]["template"]["spec"]
    assert pod["automountServiceAccountToken"] is False
    assert pod["serviceAccountName"] in named(of(overlay, "ServiceAccount"))
    assert pod["securityContext"]["runAsNonRoot"] is True
    assert pod["securityContext"]["runAsUser"] >= 1000
    assert pod["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
    assert not any("hostPath" in volume for volume in pod.get("volumes", ()))
    for container in [*pod["containers"], *pod.get("initContainers", ())]:
        secured = container["securityContext"]
        assert secured["allowPrivilegeEscalation"] is False
        assert secured["readOnlyRootFilesystem"] is True
        assert secured["capabilities"] == {"drop": ["ALL"]}
        assert ":" in container["image"]
        assert not container["image"].endswith(":latest")
        assert "memory" in container["resources"]["limits"]


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_the_namespace_takes_no_other_pods(overlay: str) -> None:
    (namespace,) = of(overlay, "Namespace")
    enforced = namespace["metadata"]["labels"]["pod-security.kubernetes.io/enforce"]
    assert enforced == "restricted"


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_each_service_has_an_account_of_its_own_without_a_token(overlay: str) -> None:
    accounts = {a["metadata"]["name"]: a for a in of(overlay, "ServiceAccount")}
    for name, pod in service_pods(overlay):
        assert pod["serviceAccountName"] == name
        assert accounts[name]["automountServiceAccountToken"] is False


def test_each_service_sees_its_own_secrets_only() -> None:
    for name, pod in service_pods("prod"):
        volumes = [v["projected"]["sources"] for v in pod["volumes"] if "projected" in v]
        secrets = {source["secret"]["name"] for sources in volumes for source in sources}
        assert secrets == {name, f"nats-{name}", "folkmoot-brokers-ca"}


# -- what a service needs --------------------------------------------------------------------------


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_every_service_is_there_and_may_be_disrupted_one_pod_at_a_time(overlay: str) -> None:
    assert {name for name, _ in service_pods(overlay)} == NAMES
    budgets = {
        each["metadata"]["name"]: each["spec"] for each in of(overlay, "PodDisruptionBudget")
    }
    assert set(budgets) == NAMES
    for name, budget in budgets.items():
        assert budget["maxUnavailable"] == 1
        assert budget["selector"]["matchLabels"] == {"app.kubernetes.io/name": name}


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_probes_ask_what_they_are_for(overlay: str) -> None:
    for _, pod in service_pods(overlay):
        (service,) = pod["containers"]
        (port,) = service["ports"]
        env = {each["name"]: each.get("value") for each in service["env"]}
        assert env["FOLKMOOT_HTTP_PORT"] == str(port["containerPort"])
        asked = {
            probe: service[probe]["httpGet"]["path"]
            for probe in ("startupProbe", "livenessProbe", "readinessProbe")
        }
        assert asked["startupProbe"] == asked["livenessProbe"] == "/health/live"
        assert asked["readinessProbe"] == "/health/ready"


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_a_pod_has_time_to_hand_over_and_no_processor_limit(overlay: str) -> None:
    for _, pod in service_pods(overlay):
        assert pod["terminationGracePeriodSeconds"] * 1000 >= 2 * Timing().drain_ms
        resources = pod["containers"][0]["resources"]
        assert set(resources["limits"]) == {"memory"}
        assert mebibytes(resources["limits"]) <= 2 * mebibytes(resources["requests"])
        assert pod["topologySpreadConstraints"]


def mebibytes(amounts: Mapping[str, str]) -> int:
    memory = amounts["memory"]
    return int(memory[:-2]) * UNITS[memory[-2:]]


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_what_is_set_is_a_setting(overlay: str, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in settings(overlay).items():
        monkeypatch.setenv(name, value)
    made = Settings()
    known = {f"FOLKMOOT_{name.upper()}" for name in WorkerServiceSettings.model_fields}
    assert set(settings(overlay)) <= known
    assert made.bus == settings(overlay)["FOLKMOOT_BUS"]
    assert made.partitions == int(settings(overlay)["FOLKMOOT_PARTITIONS"])


# -- who talks to whom -----------------------------------------------------------------------------


def test_nobody_is_reached_or_reaches_out_unless_it_is_said() -> None:
    policies = {each["metadata"]["name"]: each["spec"] for each in of("dev", "NetworkPolicy")}
    nothing = policies["nothing-by-default"]
    assert nothing["podSelector"] == {"matchLabels": {"folkmoot.dev/kind": "service"}}
    assert nothing["policyTypes"] == ["Ingress", "Egress"]
    assert "ingress" not in nothing
    assert "egress" not in nothing
    assert [n for n, policy in policies.items() if "ingress" in policy] == ["scraping"]


@pytest.mark.parametrize("broker", ["kafka", "nats"])
def test_services_reach_the_brokers(broker: str) -> None:
    (policy,) = [p for p in of("dev", "NetworkPolicy") if p["metadata"]["name"] == broker]
    (rule,) = policy["spec"]["egress"]
    wanted = rule["to"][0]["podSelector"]["matchLabels"].items()
    (target,) = [
        workload
        for workload in of("dev", *WORKLOADS)
        if wanted <= workload["spec"]["template"]["metadata"]["labels"].items()
    ]
    ports = {
        p["containerPort"] for p in target["spec"]["template"]["spec"]["containers"][0]["ports"]
    }
    assert ports & {port["port"] for port in rule["ports"]}
    (service,) = [each for each in of("dev", "Service") if each["metadata"]["name"] == broker]
    assert service["spec"]["selector"].items() <= wanted
    assert f"{broker}:{service['spec']['ports'][0]['port']}" in settings("dev")["FOLKMOOT_BUS"]


def test_prometheus_scrapes_the_port_that_there_is() -> None:
    (monitor,) = of("prod", "PodMonitor")
    (endpoint,) = monitor["spec"]["podMetricsEndpoints"]
    chosen = monitor["spec"]["selector"]["matchLabels"].items()
    for workload in of("prod", "Deployment"):
        template = workload["spec"]["template"]
        assert chosen <= template["metadata"]["labels"].items()
        assert endpoint["port"] in [p["name"] for p in template["spec"]["containers"][0]["ports"]]


# -- Kafka, and scaling by it ----------------------------------------------------------------------


def test_the_topics_of_services_are_those_of_the_registry() -> None:
    topics = {each["metadata"]["name"]: each["spec"] for each in of("prod", "KafkaTopic")}
    for rule in (rule for rule in REGISTRY if "{name}" not in rule.name):
        made = topics[rule.name]
        partitions = 1 if rule.single_partition else int(settings("prod")["FOLKMOOT_PARTITIONS"])
        assert (made["partitions"], made["replicas"]) == (partitions, 3)
        assert made["config"] == {**CONFIGS[rule.role], "min.insync.replicas": "2"}


def test_each_service_has_a_user_of_kafka_who_may_do_what_the_registry_says() -> None:
    cast = Cast(tuple(agent.name for agent in agents), (TEAM,))
    users = {each["metadata"]["name"]: each["spec"] for each in of("prod", "KafkaUser")}
    assert set(users) >= NAMES
    for name in NAMES:
        acls = users[name]["authorization"]["acls"]
        granted = {
            Grant(acl["resource"]["type"], acl["resource"]["name"], tuple(acl["operations"]))
            for acl in acls
        }
        assert granted == set(kafka_grants(name, cast))
        assert {acl["resource"]["patternType"] for acl in acls} == {"literal"}
    operations = [acl["operations"] for acl in users["keda"]["authorization"]["acls"]]
    assert operations == [["Describe"], ["Describe"]]


def test_scaling_looks_at_a_group_that_is_told_and_never_ends_at_none() -> None:
    deployments = named(of("prod", "Deployment"))
    topics = {each["metadata"]["name"]: each["spec"] for each in of("prod", "KafkaTopic")}
    (authentication,) = of("prod", "TriggerAuthentication")
    for scaled in (each["spec"] for each in of("prod", "ScaledObject")):
        target = scaled["scaleTargetRef"]["name"]
        assert target in deployments
        (trigger,) = scaled["triggers"]
        assert trigger["metadata"]["consumerGroup"] == f"folkmoot.{target}"
        topic = topics[trigger["metadata"]["topic"]]
        assert 1 <= scaled["minReplicaCount"] < scaled["maxReplicaCount"] <= topic["partitions"]
        assert trigger["authenticationRef"]["name"] == authentication["metadata"]["name"]


def test_three_zones_hold_a_replica_each() -> None:
    for workload in of("prod", "Deployment"):
        (spread,) = [
            each
            for each in workload["spec"]["template"]["spec"]["topologySpreadConstraints"]
            if each["topologyKey"] == "topology.kubernetes.io/zone"
        ]
        assert spread["whenUnsatisfiable"] == "DoNotSchedule"
        assert workload["spec"]["replicas"] == 3
