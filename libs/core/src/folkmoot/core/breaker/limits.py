"""When a breaker opens, for how long, and how much it lets through or takes on."""

from __future__ import annotations

import re
from dataclasses import dataclass

from folkmoot.core.kernel import Refused
from folkmoot.core.messages import RegisterAgent
from folkmoot.core.shares import Limit

AGENT_NAME = re.compile(r"[a-z0-9][a-z0-9-]{0,62}")
"""Agent names become parts of topics and subjects, and labels elsewhere: 63 characters is what
DNS and Kubernetes allow for one."""

QUEUE_LIMIT = 500
"""The longest queue that can be set: when a breaker opens, all who wait are refused by one log
entry, at up to 1 kB each."""

HELD_LIMIT = 200
"""The same of those that limits hold back."""

PERCENT = 100

STARTS_MAX = 10_000
"""Of a limit in its period: when each of them began is kept, for every tenant that has its own."""

PERIOD_MS_MAX = 24 * 3600 * 1000
"""Of a limit. What is counted by the month is a budget."""

LIMITS_MAX = 100
"""Limits of one agent. Which one a call counts for is found by looking at all."""

_MAY_BE_ZERO = {"grace_ms", "held_max", "open_jitter_percent", "queue_max", "worker_queue_percent"}


@dataclass(frozen=True, slots=True)
class BreakerSettings:
    """The rules of all breakers of a shard. All comparisons include the limit itself.

    Raises:
        ValueError: the settings contradict themselves.
    """

    consecutive_failures: int = 5
    """Failures in a row that open a breaker."""

    failure_rate_percent: int = 50
    """Share of failures in the window that opens a breaker."""

    calls_min: int = 10
    """Calls in the window below which no rate is taken for one."""

    window_bucket_ms: int = 1_000
    """Width of a bucket: the window moves in such steps."""

    window_buckets: int = 10
    """Buckets in the window, the current one included."""

    slow_call_ms: int | None = None
    """Run time from which a call is slow; None: none is. What is slow for an agent only its
    author knows."""

    slow_rate_percent: int = 100
    """Share of slow calls in the window that opens a breaker, if `slow_call_ms` is set."""

    open_base_ms: int = 2_000
    """How long a breaker stays open the first time; each further time doubles it."""

    open_cap_ms: int = 30_000
    """The longest that a breaker stays open before it probes."""

    open_jitter_percent: int = 20
    """By up to so much an open time is shortened, so that breakers do not probe in step."""

    backoff_decay_ms: int = 30_000
    """For each such time spent closed, one doubling is forgotten: a target that flaps stays under
    suspicion."""

    grace_ms: int = 1_000
    """After its deadline a call's outcome may be late by this much: two hops through the log."""

    probe_wait_ms: int = 500
    """When to ask again while a probe runs."""

    worker_queue_percent: int = 100
    """Calls that may wait at a worker beyond those it runs: with as many again it never idles for
    the length of a hop."""

    queue_max: int = 256
    """Calls that may wait here per target. A longer queue only makes them time out later."""

    held_max: int = 200
    """Calls that may wait here per target for limits, beside the others: they take no place from
    those that have none."""

    overload_wait_ms: int = 1_000
    """When to ask again after a refusal for overload, at least; at most twice that."""

    limited_wait_ms_max: int = 60_000
    """The longest wait that a call is told of which a limit has no room to wait here."""

    targets_max: int = 10_000
    """Agents of one shard; each costs a few KB."""

    partitions_max: int = 256
    """Partitions of one agent. The least loaded is found by looking at all."""

    concurrency_max: int = 10_000
    """Calls that one partition may run at a time."""

    steps_max: int = 1_000
    """Steps of one agent."""

    expiries_per_tick_max: int = 250
    """Calls expired by one decision; the rest follow in the next."""

    def __post_init__(self) -> None:
        for name in self.__dataclass_fields__:
            value, minimum = getattr(self, name), int(name not in _MAY_BE_ZERO)
            if value is not None and value < minimum:
                raise ValueError(f"{name} is {value}: set it to {minimum} or more")
        for name in ("failure_rate_percent", "slow_rate_percent", "open_jitter_percent"):
            if getattr(self, name) > PERCENT:
                raise ValueError(f"{name} is a share: set it to {PERCENT} or less")
        if self.open_base_ms > self.open_cap_ms:
            raise ValueError("open_base_ms is above open_cap_ms: lower it, or raise the cap")
        if self.queue_max > QUEUE_LIMIT:
            raise ValueError(f"queue_max is above {QUEUE_LIMIT}: add workers rather than waiting")
        if self.held_max > HELD_LIMIT:
            raise ValueError(f"held_max is above {HELD_LIMIT}: what it has no room for comes again")

    def partition_limit(self, concurrency: int) -> int:
        """Return how many calls a partition of such concurrency may have in flight."""
        return concurrency * (PERCENT + self.worker_queue_percent) // PERCENT


def check_registration(message: RegisterAgent, settings: BreakerSettings) -> None:
    """Raise `Refused` if a name is malformed or a number out of bounds."""
    for what, name in (("agent", message.agent), ("team", message.team)):
        if AGENT_NAME.fullmatch(name) is None:
            raise Refused(
                f"invalid-{what}",
                f"{name[:63]!r} is no name for an {what}: use 1 to 63 of a-z, 0-9 and -, not "
                "beginning with -",
            )
    _check_number(message.agent, "partitions", message.partitions, settings.partitions_max)
    _check_number(message.agent, "concurrency", message.concurrency, settings.concurrency_max)
    if len(message.steps) > settings.steps_max:
        raise Refused(
            "too-many-steps",
            f"{message.agent!r} has {len(message.steps)} steps, the limit is "
            f"{settings.steps_max}: split it into several agents",
        )
    _check_limits(message)


def _check_limits(message: RegisterAgent) -> None:
    names = [limit.name for limit in message.limits]
    steps = [step for limit in message.limits for step in limit.steps]
    if len(names) > LIMITS_MAX or len({*names}) < len(names) or len({*steps}) < len(steps):
        raise Refused(
            "invalid-limits",
            f"{message.agent!r} has {len(names)} limits: give it at most {LIMITS_MAX}, each a name "
            "of its own, and each step one at most",
        )
    for limit in message.limits:
        if not is_limit(limit):
            raise Refused(
                "invalid-limits",
                f"{limit.name[:63]!r} of {message.agent!r} is no limit: give it a name of 1 to 63 "
                "of a-z, 0-9 and -, and how many at a time, or how many in a period, or both",
            )


def is_limit(limit: Limit) -> bool:
    """Whether a limit says what it limits, and no more than can be kept."""
    in_time = limit.starts > 0 and limit.period_ms > 0
    return (
        AGENT_NAME.fullmatch(limit.name) is not None
        and limit.in_flight >= 0
        and 0 <= limit.starts <= STARTS_MAX
        and 0 <= limit.period_ms <= PERIOD_MS_MAX
        and (in_time or (limit.in_flight > 0 and limit.starts == limit.period_ms == 0))
    )


def _check_number(agent: str, what: str, value: int, limit: int) -> None:
    if not 1 <= value <= limit:
        raise Refused(
            f"invalid-{what}",
            f"{agent!r} has {what} {value}, which is not within 1 to {limit:,}: set one that is",
        )
