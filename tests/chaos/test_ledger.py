"""The guard of the effects: what it lets through, and that without it there are doubles."""

from __future__ import annotations

import fcntl
import os
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

import pytest

from tests.chaos.conftest import Make
from tests.chaos.ledger import Effect, Fenced, Ledger, read_effects, repeated


def steps(ledger: Ledger) -> list[tuple[str, str]]:
    return [(effect.deed, effect.step) for effect in read_effects(ledger.path)]


def test_a_key_acts_once_whoever_uses_it(tmp_path: Path, effect: Make) -> None:
    one, other = Ledger(tmp_path / "e.jsonl"), Ledger(tmp_path / "e.jsonl")
    assert one.act(effect())
    assert not other.act(effect())
    assert one.act(effect("ship"))
    assert steps(other) == [("do", "charge"), ("do", "ship")]
    assert repeated(read_effects(one.tries_path)) == {"s/charge/do": 1}


def test_what_was_undone_is_not_done_any_more(tmp_path: Path, effect: Make) -> None:
    ledger = Ledger(tmp_path / "e.jsonl")
    assert ledger.act(effect(deed="undo"))
    with pytest.raises(Fenced):
        ledger.act(effect())
    assert ledger.act(effect(saga_id="another"))


def test_a_leader_of_the_past_does_nothing(tmp_path: Path, effect: Make) -> None:
    ledger = Ledger(tmp_path / "e.jsonl")
    assert ledger.act(effect("aggregate", epoch=7))
    with pytest.raises(Fenced):
        ledger.act(effect("aggregate", saga_id="t", epoch=6))
    assert ledger.act(effect("aggregate", saga_id="u", epoch=7))


def test_without_the_guard_every_try_is_an_effect(tmp_path: Path, effect: Make) -> None:
    ledger = Ledger(tmp_path / "e.jsonl", fenced=False)
    for each in (effect(deed="undo"), effect(), effect(), effect()):
        assert ledger.act(each)
    assert repeated(read_effects(ledger.path)) == {"s/charge/do": 2}


def _act_often(path: Path) -> int:
    ledger = Ledger(path)
    return sum(
        ledger.act(Effect("s", f"{n}", "do", f"s/{n}/do", 0, 1, 1, f"{os.getpid()}"))
        for n in range(100)
    )


def test_processes_that_act_at_once_act_once_together(tmp_path: Path) -> None:
    path = tmp_path / "e.jsonl"
    with ProcessPoolExecutor(3) as processes:
        acted = list(processes.map(_act_often, [path] * 3))
    assert sum(acted) == 100
    assert len(read_effects(path)) == 100


def test_who_died_while_it_held_the_file_does_not_block_it(tmp_path: Path, effect: Make) -> None:
    ledger = Ledger(tmp_path / "e.jsonl")
    if (child := os.fork()) == 0:
        file = os.open(ledger.path.with_suffix(".lock"), os.O_CREAT | os.O_RDWR, 0o600)
        fcntl.flock(file, fcntl.LOCK_EX)
        os.kill(os.getpid(), 9)
    os.waitpid(child, 0)
    assert ledger.act(effect())
