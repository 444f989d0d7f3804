"""The Compose file: valid, and nobody in it may do more than it needs."""

from __future__ import annotations

import functools
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from deploy import certificates, secrets
from folkmoot.cli.platform import MODULES
from folkmoot.local.nats import program
from folkmoot.local.processes import STOP_WITHIN_MS
from folkmoot.local.settings import LocalSettings

ROOT = Path(__file__).resolve().parents[2]
COMPOSE = Path(sys.executable).with_name("docker-compose")
ONE_SHOT = {"kafka-init", "demo"}


@functools.cache
def configured(*added: str) -> dict[str, Any]:
    """Return the whole file as Compose understands it, all profiles and `added` files included."""
    files = [word for name in ("docker-compose.yml", *added) for word in ("--file", name)]
    done = subprocess.run(
        [COMPOSE, *files, "--profile", "*", "config", "--format", "json"],
        cwd=ROOT, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def services() -> dict[str, dict[str, Any]]:
    found: dict[str, dict[str, Any]] = configured()["services"]
    return found


SERVICES = sorted(services())
OURS = [name for name in SERVICES if services()[name]["image"].startswith("folkmoot/")]
LASTING = [name for name in OURS if name not in ONE_SHOT]


def test_every_service_of_folkmoot_is_there() -> None:
    assert set(MODULES) | {"kafka", "nats", "jaeger", "kafka-init"} <= set(SERVICES)


@pytest.mark.parametrize("name", SERVICES)
def test_no_container_can_gain_a_privilege_or_write_to_its_image(name: str) -> None:
    service = services()[name]
    assert service["cap_drop"] == ["ALL"]
    assert "cap_add" not in service
    assert service["security_opt"] == ["no-new-privileges:true"]
    assert service["read_only"] is True
    assert "privileged" not in service
    assert not any("docker.sock" in str(volume) for volume in service.get("volumes", ()))


@pytest.mark.parametrize("name", SERVICES)
def test_every_container_has_limits(name: str) -> None:
    service = services()[name]
    limits = service["deploy"]["resources"]["limits"]
    assert int(limits["memory"]) > 0
    assert limits["pids"] > 0
    assert service["logging"]["options"]["max-size"]


@pytest.mark.parametrize("name", SERVICES)
def test_ports_are_open_to_this_machine_only(name: str) -> None:
    assert all(port["host_ip"] == "127.0.0.1" for port in services()[name].get("ports", ()))


@pytest.mark.parametrize("name", SERVICES)
def test_images_are_pinned_and_replicas_can_be_added(name: str) -> None:
    service = services()[name]
    _, _, tag = service["image"].rpartition(":")
    assert tag[0].isdigit() or tag[0] == "v"
    assert "container_name" not in service


@pytest.mark.parametrize("name", LASTING)
def test_a_service_has_longer_to_stop_than_it_drains(name: str) -> None:
    if name.startswith("chaos-"):
        return
    assert services()[name]["stop_grace_period"] == "20s"
    assert STOP_WITHIN_MS < 20_000


@pytest.mark.parametrize("name", SERVICES)
def test_who_depends_on_another_waits_until_it_can_do_its_work(name: str) -> None:
    for other, how in services()[name].get("depends_on", {}).items():
        ends = other in ONE_SHOT
        wanted = "service_completed_successfully" if ends else "service_healthy"
        assert how["condition"] == wanted


def test_nobody_waits_for_who_does_not_wait_for_it() -> None:
    """All of ours start at once when the brokers are ready: topics are what they need."""
    for name in LASTING:
        assert set(services()[name]["depends_on"]) == {"kafka", "kafka-init", "nats"}


@pytest.mark.parametrize("name", LASTING)
def test_a_service_reads_its_own_secrets_and_nobody_elses(name: str) -> None:
    user = name.removeprefix("chaos-")
    assert services()[name]["environment"]["FOLKMOOT_BUS_USER"] == user
    sources = {secret["source"] for secret in services()[name]["secrets"]}
    assert sources == {f"{user}_password", f"{user}_nkey"}


@pytest.mark.parametrize("name", SERVICES)
def test_secrets_come_as_files_only(name: str) -> None:
    service = services()[name]
    assert not any(
        word in variable for variable in service.get("environment", ())
        for word in ("PASSWORD", "SECRET", "SEED", "TOKEN", "BUS_NKEY")
    )  # fmt: skip
    assert not any("deploy/secrets" in str(volume) for volume in service.get("volumes", ()))


def test_the_brokers_let_nobody_in_who_does_not_sign_in() -> None:
    kafka = services()["kafka"]["environment"]
    assert kafka["KAFKA_ALLOW_EVERYONE_IF_NO_ACL_FOUND"] == "false"
    assert protocols(kafka) == {"INSIDE": "SASL_PLAINTEXT", "OUTSIDE": "SASL_PLAINTEXT"}
    assert "CONTROLLER://localhost:" in kafka["KAFKA_LISTENERS"]
    assert "include ./permissions.conf" in (ROOT / "deploy/nats/nats.conf").read_text()


def protocols(kafka: dict[str, str]) -> dict[str, str]:
    pairs = [pair.split(":") for pair in kafka["KAFKA_LISTENER_SECURITY_PROTOCOL_MAP"].split(",")]
    return {name: protocol for name, protocol in pairs if name != "CONTROLLER"}


def test_with_certificates_everything_is_encrypted() -> None:
    secure = configured("deploy/compose/secure.yml")["services"]
    kafka = secure["kafka"]["environment"]
    assert protocols(kafka) == {"INSIDE": "SASL_SSL", "OUTSIDE": "SASL_SSL"}
    assert secure["nats"]["command"] == ["--config", "/etc/folkmoot/secure.conf"]
    for name in OURS:
        environment = secure[name]["environment"]
        assert environment["FOLKMOOT_BUS"].endswith("?nats=tls://nats:4222")
        assert environment["FOLKMOOT_BUS_CA"] == "/run/secrets/authority"
        assert "authority" in {secret["source"] for secret in secure[name]["secrets"]}
        assert "broker" not in {secret["source"] for secret in secure[name]["secrets"]}


@pytest.mark.parametrize("config", ["nats.conf", "secure.conf"])
def test_nats_takes_its_configuration(config: str, tmp_path: Path) -> None:
    secrets.make(tmp_path / "secrets")
    certificates.make(tmp_path / "secrets")
    for path in (ROOT / "deploy" / "nats").glob("*.conf"):
        text = path.read_text().replace("/run/secrets/broker", f"{tmp_path}/secrets/broker.pem")
        (tmp_path / path.name).write_text(text)
    nkeys = dict(
        line.split("=") for line in (tmp_path / "secrets/nats.env").read_text().splitlines()
    )
    command = [str(program(LocalSettings())), "-t", "--config", str(tmp_path / config)]

    def checked(env: dict[str, str]) -> int:
        return subprocess.run(command, env=env, capture_output=True, check=False).returncode

    assert checked(nkeys) == 0
    assert checked({}) != 0


def test_what_signs_in_from_this_machine_is_the_outsider(tmp_path: Path) -> None:
    secrets.make(tmp_path)
    secrets.make(tmp_path)
    printed = subprocess.run(
        ["sh", "-c", f". {tmp_path}/user.env && env"], capture_output=True, text=True, check=True
    ).stdout
    assert "FOLKMOOT_BUS_USER=user\n" in printed
    assert f"FOLKMOOT_BUS_PASSWORD={(tmp_path / 'user.password').read_text()}\n" in printed
    assert f"FOLKMOOT_BUS_NKEY={(tmp_path / 'user.nkey').read_text()}\n" in printed


def test_a_misspelt_condition_is_noticed(tmp_path: Path) -> None:
    text = (ROOT / "docker-compose.yml").read_text()
    assert "service_healthy" in text
    broken = tmp_path / "docker-compose.yml"
    broken.write_text(text.replace("service_healthy", "service_helthy"))
    done = subprocess.run(
        [COMPOSE, "--env-file", ROOT / ".env", "--file", broken, "config", "--quiet"],
        capture_output=True, check=False,
    )  # fmt: skip
    assert done.returncode != 0
