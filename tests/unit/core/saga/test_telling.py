"""Every event that a saga ever recorded is told in a sentence."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from folkmoot.core.saga.telling import SENTENCE_CHARS_MAX, tell
from tests.golden.golden import PLACE, Golden

HISTORIES = sorted(PLACE.glob("saga-orchestrator-*.jsonl.gz"))


@pytest.mark.parametrize("path", HISTORIES, ids=lambda path: path.name)
def test_what_was_recorded_is_told(path: Path) -> None:
    told = 0
    for written in Golden(path).read():
        for event in json.loads(written.value or b"[]"):
            name = event["type"].removeprefix("folkmoot.").rsplit(".v", 1)[0]
            said = tell(name, event["data"])
            assert said
            assert "?" not in said or "?" in json.dumps(event["data"])
            assert len(said) <= SENTENCE_CHARS_MAX
            told += 1
    assert told > 100


@pytest.mark.parametrize(
    ("name", "data", "said"),
    [
        (
            "step-succeeded",
            {"step_id": "hotel", "member": "ann", "duration_ms": 12},
            "hotel has succeeded, at ann in 12 ms",
        ),
        (
            "plan-recorded",
            {"steps": [{"id": "a"}, {"id": "b"}]},
            "the plan has 2 steps: a, b",
        ),
        (
            "control-accepted",
            {"actor": "ann", "control": "pause", "step_id": "", "reason": ""},
            "ann asks to pause",
        ),
        ("something-new", {"step_id": "a"}, "something new a"),
        (
            "compensation-started",
            {"failure": {"detail": "x" * 1_000}},
            "it turns back: " + "x" * (SENTENCE_CHARS_MAX - 16) + "…",
        ),
    ],
)
def test_a_sentence(name: str, data: dict[str, object], said: str) -> None:
    assert tell(name, data) == said
