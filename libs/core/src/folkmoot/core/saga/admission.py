"""Lets sagas begin, so many at a time; the others wait, and each tenant gets its share.

A task that comes while all places are taken becomes a saga that is queued: nothing of it begins,
and it can be looked at, cancelled and paused like any other. Sagas that run as steps of others take
no place: whoever has one for the saga above has one for all.

Invariants:

- No more sagas have begun and not ended than the settings say, of a team and of the shard.
- Teams take turns; within a team turns go by shares (`folkmoot.core.turns`).
- Deciding costs a look at the teams of which some wait, and folding a logarithm.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Sequence

from folkmoot.core.kernel import Effect, Position
from folkmoot.core.messages import Failure
from folkmoot.core.saga import pacing
from folkmoot.core.saga.control_events import SagaAdmitted, SagaQueued
from folkmoot.core.saga.settings import SagaSettings
from folkmoot.core.saga.state import Lobby, Saga, SagaState
from folkmoot.core.turns import Turns

# -- deciding -----------------------------------------------------------------------------------


def must_wait(state: SagaState, team: str, settings: SagaSettings) -> bool:
    """Whether a new saga of a team has to wait: for a place, or for those who wait for one."""
    lobby = state.lobby
    if team in lobby.waiting:
        return True
    return min(_left_of_shard(lobby, settings), _left_of_team(lobby, team, settings)) <= 0


def no_room(state: SagaState, settings: SagaSettings) -> Failure | None:
    """Return why one more saga cannot even wait, None if it can."""
    if (queued := state.lobby.queued) < settings.queued_sagas_max:
        return None
    return overloaded(f"{queued:,} sagas wait here to begin", "queued_sagas_max", settings)


def overloaded(what: str, limit: str, settings: SagaSettings) -> Failure:
    """Return why a task is not taken now, and what to do."""
    detail = (
        f"{what}, the limit ({limit}): submit the task again in a while, under the same id, or "
        "run more shards"
    )
    return Failure("overloaded", detail, retry_after_ms=settings.overload_wait_ms)


def next_in(state: SagaState, settings: SagaSettings, most: int) -> Iterator[str]:
    """Yield up to `most` sagas for which there is a place now, whose turn is next first."""
    lobby = state.lobby
    left = min(most, _left_of_shard(lobby, settings))
    rounds = deque(
        (iter(turns), _left_of_team(lobby, team, settings)) for team, turns in lobby.waiting.items()
    )
    while rounds and left > 0:
        turns, places = rounds.popleft()
        saga_id = next(turns, None) if places > 0 else None
        if saga_id is not None:
            yield saga_id
            left -= 1
            rounds.append((turns, places - 1))


def is_due(state: SagaState, settings: SagaSettings) -> bool:
    """Whether a saga that waits could begin."""
    lobby = state.lobby
    if not lobby.waiting or _left_of_shard(lobby, settings) <= 0:
        return False
    return any(_left_of_team(lobby, team, settings) > 0 for team in lobby.waiting)


def _left_of_shard(lobby: Lobby, settings: SagaSettings) -> int:
    return (settings.sagas_at_once or settings.open_sagas_max) - lobby.begun


def _left_of_team(lobby: Lobby, team: str, settings: SagaSettings) -> int:
    most = settings.team_sagas_at_once or settings.open_sagas_max
    return most - lobby.teams.get(team, 0)


# -- folding ------------------------------------------------------------------------------------


def opened(state: SagaState, saga: Saga) -> None:
    """Count a saga that has begun."""
    if saga.parent is None:
        state.lobby.begun += 1
        state.lobby.teams[saga.team] = state.lobby.teams.get(saga.team, 0) + 1


def ended(state: SagaState, saga: Saga) -> None:
    """Count a saga no more, and let it wait no more."""
    if saga.queued:
        _unwait(state.lobby, saga, served=False)
    elif saga.parent is None:
        _uncount(state.lobby, saga.team)


def fold_queued(state: SagaState, event: SagaQueued, _at: Position) -> Sequence[Effect]:
    """Let a saga wait that was just opened."""
    saga, lobby = state.sagas[event.saga_id], state.lobby
    saga.queued = True
    _uncount(lobby, saga.team)
    lobby.waiting.setdefault(saga.team, Turns()).join(saga.saga_id, saga.share)
    lobby.queued += 1
    return ()


def fold_admitted(state: SagaState, event: SagaAdmitted, _at: Position) -> Sequence[Effect]:
    """Let a saga begin; its team is the last to have another turn."""
    saga, lobby = state.sagas[event.saga_id], state.lobby
    saga.queued = False
    _unwait(lobby, saga, served=True)
    if (turns := lobby.waiting.pop(saga.team, None)) is not None:
        lobby.waiting[saga.team] = turns
    opened(state, saga)
    pacing.refresh(state, saga)
    return ()


def _unwait(lobby: Lobby, saga: Saga, *, served: bool) -> None:
    turns = lobby.waiting[saga.team]
    turns.leave(saga.saga_id, served=served)
    lobby.queued -= 1
    if not turns:
        del lobby.waiting[saga.team]


def _uncount(lobby: Lobby, team: str) -> None:
    lobby.begun -= 1
    lobby.teams[team] -= 1
    if not lobby.teams[team]:
        del lobby.teams[team]
