"""Worlds by the thousand: whatever the faults of a seed, every invariant holds."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from folkmoot.core.kernel import Leadership
from folkmoot.testing.simulation.command import failure, main
from folkmoot.testing.simulation.run import run_many, run_seed

SEEDS = int(os.environ.get("FOLKMOOT_SIM_SEEDS", "2000"))
SAID = (
    "starts", "crashes", "is paused", "is resumed", "claims", "and leads in term",
    "which does not count", "kept {", "taken {", "resign of term", "all faults cease",
)  # fmt: skip
TOLD = "from folkmoot.testing.simulation.command import main; main({})"


@pytest.mark.timeout(1_800)
def test_every_invariant_holds_whatever_the_seed() -> None:
    ran = 0
    for report in run_many(range(SEEDS)):
        ran += 1
        assert report.violations == [], failure(report, None, tell=True)
    assert ran == SEEDS


@pytest.mark.parametrize(
    ("seed", "scope", "said"), [(11, "relay", "kept"), (21, "mesh", "pause-child")]
)
def test_the_same_seed_tells_the_same_story_to_the_byte(seed: int, scope: str, said: str) -> None:
    told = [_told(hash_seed, ["--seed", f"{seed}", "--scope", scope]) for hash_seed in ("1", "2")]
    assert told[0] == told[1]
    assert told[0].count(b"\n") > 100
    assert said.encode() in told[0]


def _told(hash_seed: str, arguments: list[str]) -> bytes:
    environment = os.environ | {"PYTHONHASHSEED": hash_seed}
    return subprocess.run(
        [sys.executable, "-c", TOLD.format(arguments)],
        env=environment, capture_output=True, check=True,
    ).stdout  # fmt: skip


def test_another_seed_tells_another_story() -> None:
    assert run_seed(3, tell=True).transcript != run_seed(4, tell=True).transcript


def test_a_transcript_says_who_did_what() -> None:
    stories = [run_seed(seed, "relay", tell=True).transcript for seed in range(12)]
    for said in SAID:
        assert any(said in story for story in stories), said


def test_the_command_says_how_many_seeds_held(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--seeds", "0:3", "--scope", "relay", "--jobs", "1"]) == 0
    assert capsys.readouterr().out.startswith("3 seeds")


def test_the_command_tells_a_failure_and_how_to_see_it_again(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Leadership, "_is_open_to", lambda _self, _claim: True)
    assert main(["--seeds", "0:20", "--scope", "relay", "--jobs", "1"]) == 1
    told = capsys.readouterr().out
    *_, last = told.splitlines()
    seed = int(last.removeprefix("replay it with: folkmoot-sim --seed ").split()[0])
    assert f"seed {seed}: I" in told
    assert "all faults cease" in told
    assert main(["--seed", str(seed), "--scope", "relay", "--quiet"]) == 1
