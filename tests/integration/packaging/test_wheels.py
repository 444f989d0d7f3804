"""`pip install` of the built wheels into a clean environment gives the `folkmoot` command."""

from __future__ import annotations

import subprocess
import sys
import venv
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[3]


@pytest.mark.timeout(240)
def test_the_wheels_install_and_run(tmp_path: Path) -> None:
    dist, home = tmp_path / "dist", tmp_path / "venv"
    run("uv", "build", "--all-packages", "--wheel", "--quiet", "--out-dir", str(dist), cwd=ROOT)
    venv.create(home, with_pip=True)
    python = home / "bin" / "python"
    wheels = [str(wheel) for wheel in dist.glob("folkmoot*.whl")]
    run(str(python), "-m", "pip", "install", "--quiet", *wheels, cwd=tmp_path)
    answer = run(str(home / "bin" / "folkmoot"), "--help", cwd=tmp_path)
    assert "demo" in answer
    told = tmp_path / "told.json"
    run(str(home / "bin" / "folkmoot"), "demo", "--json", str(told), cwd=tmp_path)
    assert (tmp_path / "dossier" / "dossier.html").is_file()
    code = "from folkmoot import Agent, Client, Step, Retry; import folkmoot.testing"
    run(str(python), "-W", "error", "-c", code, cwd=tmp_path)


def run(program: str, *arguments: str, cwd: Path) -> str:
    if program == "uv":
        program = str(Path(sys.executable).parent / "uv")
    ran = subprocess.run(
        [program, *arguments], cwd=cwd, capture_output=True, text=True, check=False
    )
    assert ran.returncode == 0, ran.stdout + ran.stderr
    return ran.stdout
