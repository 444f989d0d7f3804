"""How the orchestrator behaves where a plan does not say; used by `decide` only."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

PLAN: Final = "plan"
AGGREGATE: Final = "aggregate"
RESERVED_IDS = frozenset({PLAN, AGGREGATE})
"""Ids of the leader's hooks; no planned step may have them."""

DETAIL_CHARS_MAX = 2_000
"""Of a failure's sentence. It is recorded with each event that it leads to."""


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
    """Steps of a plan."""

    plan_bytes_max: int = 600_000
    """Of a plan as recorded: it is one log entry, of which Kafka takes a megabyte by default."""

    result_bytes_max: int = 256 * 1024
    """Of steps' results that are a saga's result as they are. More goes through the leader, whose
    worker says so if it is too large to send."""

    wave_max: int = 250
    """Steps begun or undone, and timers decided, in one entry, for the same reason."""

    id_chars_max: int = 200
    """Of a step's id: it is part of call ids and subjects."""

    timeout_ms_max: int = 7 * 24 * 3600 * 1000
    """For a step's time limit and its waits: what takes longer should be a saga of its own."""

    open_sagas_max: int = 100_000
    """Open sagas of a shard: what fits its memory at some kilobytes each."""

    sagas_at_once: int = 0
    """Sagas of a shard that have begun and not ended, those below others not counted; 0: as many
    as may be open. What comes beyond waits to begin."""

    team_sagas_at_once: int = 0
    """The same of each team, so that none takes all places."""

    queued_sagas_max: int = 10_000
    """Sagas of a shard that may wait to begin. A longer queue only makes them come too late."""

    overload_wait_ms: int = 5_000
    """When to submit a task again that is not even let wait."""

    depth_max: int = 8
    """Sagas within sagas: deeper is most likely one that runs itself."""

    hook_timeout_ms: int = 60_000
    """For the leader's plan and aggregate hooks."""

    hook_attempts: int = 5
    hook_backoff: Backoff = Backoff(200, 2.0, 10_000)

    answer_grace_ms: int = 1_000
    """After a call's deadline, so that its worker's own word about it comes first."""

    deferral_ms: int = 500
    """When a refused call is tried again if the refusal does not say."""

    deferred_ms_max: int = 600_000
    """For how long without a break a step may be refused before it fails: nothing waits for ever.
    """

    retry_after_ms_max: int = 3_600_000
    """The longest wait that a failure may ask for: a slip of units must not hold a saga for years.
    """

    compensation_backoff: Backoff = Backoff(200, 2.0, 60_000)
    stuck_after_attempts: int = 8
    """Attempts to undo a step after which the saga is shown as stuck; about a minute."""

    outage_wait_ms_max: int = 5_000
    """The longest wait for who goes on for ever, after a time-out: it says nothing of the call, and
    what an outage held up should go on within seconds of its end."""

    takeover_grace_ms: int = 2_000
    """After a change of leader, for answers that came meanwhile."""

    takeover_at_once: int = 10
    """Deadlines that take effect together after that, twice as many each `takeover_pace_ms` until
    all do: what fell due while nobody led should not be sent all at once."""

    takeover_pace_ms: int = 100

    takeover_ramp_ms: int = 10_000
    """After which a shard is as any other, whatever falls due."""
