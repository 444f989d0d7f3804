"""How the orchestrator behaves where a plan does not say; used by `decide` only."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

PLAN: Final = "plan"
AGGREGATE: Final = "aggregate"
RESERVED_IDS = frozenset({PLAN, AGGREGATE})
"""Ids of the leader's hooks; no planned step may have them."""


@dataclass(frozen=True, slots=True)
class Backoff:
    """Waits between attempts: from `initial_ms`, growing by `factor`, up to `cap_ms`."""

    initial_ms: int
    factor: float
    cap_ms: int


@dataclass(frozen=True, slots=True)
class SagaSettings:
    """Limits and times of one shard."""

    steps_max: int = 10_000
    """Steps of a plan: a plan is one log entry."""

    id_chars_max: int = 200
    """Of a step's id: it is part of call ids and subjects."""

    timeout_ms_max: int = 7 * 24 * 3600 * 1000
    """A step that takes more than a week should be a saga of its own."""

    open_sagas_max: int = 100_000
    """Open sagas of a shard: what fits its memory at some kilobytes each."""

    hook_timeout_ms: int = 60_000
    """For the leader's plan and aggregate hooks."""

    hook_attempts: int = 5
    hook_backoff: Backoff = Backoff(200, 2.0, 10_000)

    answer_grace_ms: int = 1_000
    """After a call's deadline, so that its worker's own word about it comes first."""

    deferral_ms: int = 500
    """When a refused call is tried again if the refusal does not say."""

    deferred_ms_max: int = 600_000
    """For how long in all a step may be refused before it fails: nothing waits for ever."""

    compensation_backoff: Backoff = Backoff(200, 2.0, 60_000)
    stuck_after_attempts: int = 8
    """Attempts to undo a step after which the saga is shown as stuck; about a minute."""

    takeover_grace_ms: int = 2_000
    """After a change of leader, for answers that came meanwhile."""

    timers_per_tick_max: int = 200
    """Timers decided in one entry, so that it stays small."""
