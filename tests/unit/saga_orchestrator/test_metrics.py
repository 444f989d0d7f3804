"""Sagas are counted once as they end, and teams beyond the first are told as one."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from folkmoot.contracts.metrics import OTHERS
from folkmoot.core.messages import TaskResult
from folkmoot.core.saga import Ended, Saga, SagaState
from folkmoot.runtime.sheet import Sheet
from folkmoot.saga_orchestrator import metrics
from folkmoot.saga_orchestrator.metrics import Endings

SHARD = "folkmoot.saga-orchestrator.log/0"


def end(state: SagaState, *saga_ids: str, at: int = 0, team: str = "office") -> None:
    state.teams[team] = None
    for saga_id in saga_ids:
        result = TaskResult(saga_id, team, "completed")
        state.ended[saga_id] = Ended(result, 0, at, None)


def told(endings: Endings) -> dict[Sequence[str], float]:
    sheet = Sheet("saga-orchestrator")
    endings.tell(sheet, SHARD)
    return {
        (sample.labels["team"], sample.labels["state"]): sample.value
        for family in sheet.families()
        for sample in family.samples
        if sample.name == "folkmoot_sagas_ended_total"
    }


def test_what_ended_before_the_first_look_is_not_told() -> None:
    state, endings = SagaState(), Endings()
    end(state, "a", "b", at=1)
    endings.take_in(state, counts=True)
    assert told(endings) == {}
    end(state, "c", "d", at=1)
    endings.take_in(state, counts=True)
    endings.take_in(state, counts=True)
    assert told(endings) == {("office", "completed"): 2}


def test_what_ends_in_an_empty_shard_is_told() -> None:
    state, endings = SagaState(), Endings()
    endings.take_in(state, counts=True)
    end(state, "a", at=5)
    endings.take_in(state, counts=True)
    assert told(endings) == {("office", "completed"): 1}


def test_what_ends_while_another_leads_is_the_others_to_tell() -> None:
    state, endings = SagaState(), Endings()
    endings.take_in(state, counts=False)
    end(state, "a", at=5)
    endings.take_in(state, counts=False)
    end(state, "b", at=6)
    endings.take_in(state, counts=True)
    assert told(endings) == {("office", "completed"): 1}


def test_history_that_is_read_again_is_no_news() -> None:
    state, endings = SagaState(), Endings()
    endings.take_in(state, counts=True)
    endings.lose_track()
    end(state, "a", "b", at=5)
    endings.take_in(state, counts=True)
    assert told(endings) == {}


def test_a_saga_that_was_taken_back_with_its_leader_does_not_bring_back_all_others() -> None:
    state, endings = SagaState(), Endings()
    end(state, "a", "b", at=5)
    endings.take_in(state, counts=True)
    end(state, "lost", at=6)
    endings.take_in(state, counts=True)
    del state.ended["lost"]
    end(state, "c", at=7)
    endings.take_in(state, counts=True)
    assert told(endings) == {("office", "completed"): 2}


def test_teams_beyond_the_first_are_told_as_one(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(metrics, "TEAMS_TOLD_MAX", 2)
    state, endings = SagaState(), Endings()
    endings.take_in(state, counts=True)
    for team in ("first", "second", "third", "fourth"):
        end(state, f"of-{team}", at=1, team=team)
        state.sagas[team] = Saga(team, team, None, None, 0, {})
    endings.take_in(state, counts=True)
    teams = {"first": 1, "second": 1, OTHERS: 2}
    assert told(endings) == {(team, "completed"): count for team, count in teams.items()}
    open_sagas = metrics._open_sagas(state)
    assert open_sagas == {(team, "planning"): count for team, count in teams.items()}
