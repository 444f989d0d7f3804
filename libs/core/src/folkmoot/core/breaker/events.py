"""What a breaker shard decides: where each call goes, how it ended, and each breaker's transitions.

Every event names its target, so that the log reads as one history per target. Whatever depends on
settings is written into the event: who reads it later may have other settings.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from folkmoot.core.messages import Address, Call, Outcome
from folkmoot.core.names import by_wire_name
from folkmoot.core.shares import Limit

Verdict = Literal["success", "failure", "neutral", "late"]
"""What an end says of the target's health. `neutral`: nothing, as with a caller's error. `late`:
nothing any more, because the call was admitted before the breaker's last transition."""

OpenReason = Literal[
    "consecutive-failures",
    "failure-rate",
    "slow-rate",
    "probe-failed",
    "probe-expired",
    "probe-slow",
    "probe-inconclusive",
]


@dataclass(frozen=True, slots=True)
class WindowShaped:
    """From here on, calls are counted in `buckets` buckets of `bucket_ms`, beginning anew."""

    bucket_ms: int
    buckets: int


@dataclass(frozen=True, slots=True)
class AgentRegistered:
    """Calls for `target` can go to `partitions` partitions of `concurrency` calls each."""

    target: str
    team: str
    partitions: int
    concurrency: int
    steps: tuple[str, ...]
    limits: tuple[Limit, ...] = ()


@dataclass(frozen=True, slots=True)
class CallAdmitted:
    """The call goes to a worker, as the probe of a half-open breaker if `probe`."""

    target: str
    call: Call
    partition: int
    expires_at: int
    probe: bool = False


@dataclass(frozen=True, slots=True)
class CallQueued:
    """The call waits for a worker, and for its `limit` if that is given.

    Then it has all its time only until `gives_up_at`: it should have enough left to run.
    """

    target: str
    call: Call
    limit: str = ""
    gives_up_at: int = 0


@dataclass(frozen=True, slots=True)
class CallDequeued:
    """The call that waited goes to a worker."""

    target: str
    call_id: str
    partition: int
    expires_at: int


@dataclass(frozen=True, slots=True)
class LimitReopened:
    """So much time has passed that the limit lets calls begin again; those who waited follow."""

    target: str
    limit: str


@dataclass(frozen=True, slots=True)
class CallRefused:
    """The call goes nowhere, whether it waited or has just come; `to` receives the outcome."""

    target: str
    to: Address
    outcome: Outcome


@dataclass(frozen=True, slots=True)
class CancelForwarded:
    """Nobody waits for the call any more; its worker is told, and its failure will not count."""

    target: str
    call_id: str
    saga_id: str


@dataclass(frozen=True, slots=True)
class CallEnded:
    """The worker has answered for the call: `member`, if its partition had another before."""

    target: str
    call_id: str
    verdict: Verdict
    slow: bool = False
    member: str = ""


@dataclass(frozen=True, slots=True)
class CallExpired:
    """The worker has not answered for the call by its deadline and a grace."""

    target: str
    call_id: str
    verdict: Verdict


@dataclass(frozen=True, slots=True)
class BreakerOpened:
    """No call goes to the target for `open_ms`. The figures are those that led to it.

    `openings` counts how often it opened without having been well for long in between.
    """

    target: str
    reason: OpenReason
    open_ms: int
    openings: int
    consecutive: int
    calls: int
    failures: int
    slow: int


@dataclass(frozen=True, slots=True)
class BreakerHalfOpened:
    """One call, the probe, goes to the target to find out how it is."""

    target: str


@dataclass(frozen=True, slots=True)
class BreakerClosed:
    """The probe succeeded; calls go to the target again."""

    target: str


EVENTS = by_wire_name(
    WindowShaped,
    AgentRegistered,
    CallAdmitted,
    CallQueued,
    CallDequeued,
    LimitReopened,
    CallRefused,
    CancelForwarded,
    CallEnded,
    CallExpired,
    BreakerOpened,
    BreakerHalfOpened,
    BreakerClosed,
)
