"""The breaker's machine: where calls go, if anywhere. See README.md beside this file."""

from folkmoot.core.breaker.announcement import BreakerChanged
from folkmoot.core.breaker.describing import describe, describe_call
from folkmoot.core.breaker.events import (
    AgentRegistered,
    BreakerClosed,
    BreakerHalfOpened,
    BreakerOpened,
    CallAdmitted,
    CallDequeued,
    CallEnded,
    CallExpired,
    CallQueued,
    CallRefused,
    CancelForwarded,
    LimitReopened,
    WindowShaped,
)
from folkmoot.core.breaker.limits import BreakerSettings
from folkmoot.core.breaker.machine import BreakerMachine
from folkmoot.core.breaker.state import BreakerState, Phase, Target

__all__ = [
    "AgentRegistered",
    "BreakerChanged",
    "BreakerClosed",
    "BreakerHalfOpened",
    "BreakerMachine",
    "BreakerOpened",
    "BreakerSettings",
    "BreakerState",
    "CallAdmitted",
    "CallDequeued",
    "CallEnded",
    "CallExpired",
    "CallQueued",
    "CallRefused",
    "CancelForwarded",
    "LimitReopened",
    "Phase",
    "Target",
    "WindowShaped",
    "describe",
    "describe_call",
]
