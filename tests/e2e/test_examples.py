"""Every example runs, and does what it says."""

from __future__ import annotations

import importlib.util
import re
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import pytest
from running import environment

ROOT = Path(__file__).resolve().parents[2]
EXAMPLES = sorted((ROOT / "examples").glob("*.py"))


def load(name: str) -> ModuleType:
    spec = importlib.util.spec_from_file_location(name, ROOT / "examples" / f"{name}.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    spec.loader.exec_module(module)
    return module


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.name)
def test_it_runs_by_itself(path: Path) -> None:
    ran = subprocess.run(
        [sys.executable, "-W", "error", str(path)],
        env=environment(),
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert (ran.returncode, ran.stderr) == (0, "")
    assert ran.stdout


async def test_hello_greets() -> None:
    assert await load("hello").main() == "hello, folkmoot"


async def test_the_trip_is_undone() -> None:
    state, booked = await load("trip").main()
    assert (state, booked) == ("compensated", [])


async def test_a_leader_that_stalled_is_followed_and_refused() -> None:
    journal = await load("leader").main()
    assert journal.lines == ["first: all is well", "second: I have taken over"]
    assert journal.refused == ["first: I still think that I lead"]


async def test_the_survey_runs_for_each_district_and_writes_a_letter() -> None:
    results = await load("survey").main()
    assert results["survey"] == [2, 0, 1]
    assert results["letter"] == "Dear mayor, there are 3 holes."


def test_the_readmes_commands_exist() -> None:
    """Every `folkmoot COMMAND` and `make TARGET` in the README is one."""
    text = (ROOT / "README.md").read_text()
    asked = subprocess.run(
        [sys.executable, "-m", "folkmoot.cli", "--help"], capture_output=True, text=True, check=True
    ).stdout
    for command in set(re.findall(r"^ *folkmoot ([a-z]+)", text, re.MULTILINE)):
        assert re.search(rf"\b{command}\b", asked), command
    targets = set(re.findall(r"^([a-z0-9-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    for target in set(re.findall(r"\bmake ([a-z0-9-]+)", text)):
        assert target in targets, target


def test_the_readmes_agent_is_one(tmp_path: Path) -> None:
    """The code in the README, as it stands, defines agents that a worker can host."""
    text = (ROOT / "README.md").read_text()
    code = "\n".join(re.findall(r"```python\n(.*?)```", text, re.DOTALL))
    (tmp_path / "readme_agent.py").write_text(code)
    check = (
        "from folkmoot.agent_worker.bootstrap import load_agents; "
        "agents = load_agents('readme_agent:app'); assert agents[0].steps"
    )
    ran = subprocess.run(
        [sys.executable, "-W", "error", "-c", check],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )
    assert (ran.returncode, ran.stderr) == (0, "")
