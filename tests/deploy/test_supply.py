"""What is shipped of others: under which licences, listed with hashes, and pinned by digest."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from deploy import digests
from deploy.artefacts.files import ROOT
from deploy.artefacts.licences import EXCEPTIONS, Locked, licence, refused, shipped
from folkmoot.dossier.licences import conclude

UV = Path(sys.executable).with_name("uv")
DIGEST = "sha256:" + "0a" * 32
SHIPPED = {each.name: each for each in shipped()}


# -- licences --------------------------------------------------------------------------------------


def test_nothing_is_shipped_whose_licence_reaches_into_what_is_built_on_it() -> None:
    assert refused([*SHIPPED.values()]) == []


def test_a_licence_that_does_would_be_noticed() -> None:
    strict = Locked("strict", "1", "services", conclude({"licence-expression": ["AGPL-3.0-only"]}))
    silent = Locked("silent", "1", "services", conclude({}))
    assert len(refused([strict, silent])) == 2


def test_every_exception_is_still_needed_and_in_no_image() -> None:
    assert {name: SHIPPED[name].part for name in EXCEPTIONS} == dict.fromkeys(EXCEPTIONS, "local")
    assert all(SHIPPED[name].licence.family not in ("permissive", "weak copyleft") for name in
               EXCEPTIONS)  # fmt: skip


def test_parts_have_what_they_are_known_to_have() -> None:
    assert SHIPPED["aiokafka"].part == "services"
    assert SHIPPED["typer"].part == "command"
    assert SHIPPED["jgo"].part == "local"
    assert not {"mypy", "pytest", "folkmoot"} & set(SHIPPED)
    assert licence("aiokafka").shown == "Apache-2.0"


# -- the list of parts -----------------------------------------------------------------------------


def test_the_list_of_parts_has_everything_that_is_shipped_with_hashes() -> None:
    command = ["make", "--silent", "sbom", "SBOM=/dev/stdout"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    listed = json.loads(done.stdout)
    assert listed["bomFormat"] == "CycloneDX"
    parts = {part["name"]: part for part in listed["components"] if "purl" in part}
    assert set(SHIPPED) <= set(parts)
    for name, each in SHIPPED.items():
        assert parts[name]["version"] == each.version
        found = [file for file in parts[name]["externalReferences"] if file.get("hashes")]
        assert found, f"{name} has no hash"


# -- digests ---------------------------------------------------------------------------------------


@pytest.fixture
def registry(tmp_path: Path) -> str:
    """What answers for a registry: a program that knows one digest."""
    program = tmp_path / "inspect"
    program.write_text(f'#!/bin/sh\n[ "$1" != lost:1 ] && echo "{DIGEST}"\n')
    program.chmod(0o755)
    return str(program)


def test_images_are_pinned_to_what_the_registry_has(registry: str, tmp_path: Path) -> None:
    release = tmp_path / "release.env"
    assert digests.missing(release) == [
        f"{release} is not there: run `make digests` where the registries can be reached"
    ]
    digests.resolve(release, [registry])
    assert digests.missing(release) == []
    pinned = release.read_text()
    assert f"KAFKA_IMAGE={digests.images()['KAFKA_IMAGE']}@{DIGEST}\n" in pinned
    assert pinned.count("@sha256:") == len(digests.images()) == 7


def test_a_pin_of_another_version_or_none_is_noticed(registry: str, tmp_path: Path) -> None:
    release = tmp_path / "release.env"
    digests.resolve(release, [registry])
    pinned = release.read_text()
    tag = digests.images()["NATS_IMAGE"]
    release.write_text(pinned.replace(tag, "nats:2.0"))
    assert [found.split()[0] for found in digests.missing(release)] == ["NATS_IMAGE"]
    release.write_text(pinned.replace(f"{tag}@{DIGEST}", tag))
    assert [found.split()[0] for found in digests.missing(release)] == ["NATS_IMAGE"]


def test_what_a_registry_does_not_have_is_not_pinned(tmp_path: Path) -> None:
    release = tmp_path / "release.env"
    with pytest.raises(digests.NoDigest, match=r"python"):
        digests.resolve(release, [str(shutil.which("false"))])
    assert not release.exists()


def test_compose_takes_the_pins(registry: str, tmp_path: Path) -> None:
    release = tmp_path / "release.env"
    digests.resolve(release, [registry])
    compose = Path(sys.executable).with_name("docker-compose")
    files = ["--env-file", str(ROOT / ".env"), "--env-file", str(release)]
    command = [str(compose), *files, "--profile", "*", "config", "--images"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
    others = {line for line in done.stdout.split() if not line.startswith("folkmoot/")}
    assert len(others) == 6
    assert all(image.endswith(DIGEST) for image in others)
