"""The Compose file: valid, and nobody in it may do more than it needs."""

from __future__ import annotations

import functools
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from folkmoot.cli.platform import MODULES
from folkmoot.local.processes import STOP_WITHIN_MS

ROOT = Path(__file__).resolve().parents[2]
COMPOSE = Path(sys.executable).with_name("docker-compose")
ONE_SHOT = {"kafka-init", "demo"}


@functools.cache
def configured() -> dict[str, Any]:
    """Return the whole file as Compose understands it, all profiles included."""
    done = subprocess.run(
        [COMPOSE, "--profile", "*", "config", "--format", "json"],
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
