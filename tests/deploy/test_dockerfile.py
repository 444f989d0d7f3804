"""The Dockerfile: no complaint of its linter, and nothing unlocked or privileged in it."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
DOCKERFILE = ROOT / "deploy" / "docker" / "service.Dockerfile"
HADOLINT = Path(sys.executable).with_name("hadolint")


def complaints(path: Path) -> str:
    done = subprocess.run([HADOLINT, path], capture_output=True, text=True, check=False)
    return done.stdout + done.stderr


def test_the_linter_has_nothing_to_say() -> None:
    assert complaints(DOCKERFILE) == ""


def test_the_linter_would_say_something(tmp_path: Path) -> None:
    bad = tmp_path / "Dockerfile"
    bad.write_text("FROM python:latest\nRUN apt-get install -y gcc\n")
    assert "DL3007" in complaints(bad)


def test_what_is_installed_is_what_the_lock_says() -> None:
    installs = re.findall(r"uv sync .*", DOCKERFILE.read_text())
    assert len(installs) == 2
    assert "--frozen" in installs[0]
    assert "--locked" in installs[1]
    assert all("--no-dev" in each for each in installs)


def test_the_last_stage_runs_as_nobody_and_has_no_tools_to_build_with() -> None:
    _, _, last = DOCKERFILE.read_text().rpartition("\nFROM ")
    assert re.search(r"^USER 10001:10001$", last, re.MULTILINE)
    assert "RUN" not in last
    assert "uv" not in last
    assert "HEALTHCHECK" in last
