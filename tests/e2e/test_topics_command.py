"""`folkmoot topics create`: what runs before anything else, and again whenever it likes."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

from running import FOLKMOOT, environment

AGENTS = "folkmoot.dossier.agents:agents"


def create(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    command = [*FOLKMOOT, "topics", "create", "--bus", f"embedded:{folder}/log.db", "--json"]
    return subprocess.run(
        [*command, *arguments],
        env=environment(COLUMNS="120"),
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def test_what_is_missing_is_made_once_and_what_differs_is_refused(tmp_path: Path) -> None:
    services = create(tmp_path)
    assert services.returncode == 0, services.stderr
    first = json.loads(services.stdout)
    assert "folkmoot.saga-orchestrator.log" in first["made"]
    assert first["topics"] == len(first["made"])

    with_agents = json.loads(create(tmp_path, "--app", AGENTS).stdout)
    assert "folkmoot.agent.researcher.inbox" in with_agents["made"]
    assert "folkmoot.team.dossier.log" in with_agents["made"]
    assert not set(first["made"]) & set(with_agents["made"])

    assert json.loads(create(tmp_path, "--app", AGENTS).stdout)["made"] == []

    refused = create(tmp_path, "--partitions", "3")
    assert refused.returncode == 1
    assert "has 2 partitions, not 3" in " ".join(refused.stderr.split())


def test_agents_that_are_not_there_are_named(tmp_path: Path) -> None:
    refused = create(tmp_path, "--app", "nowhere:agents")
    assert refused.returncode == 2
    assert "nowhere" in refused.stderr
