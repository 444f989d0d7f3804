"""Whether a saga has used up what it may, and what is decided when it has.

A budget is looked at when a step ends, and when the saga's time is over. It turns the saga back
before anything more begins; a saga of which only the aggregation is left ends, and one past its
pivot only goes forward.
"""

from __future__ import annotations

from folkmoot.core.messages import Failure, Outcome, Usage
from folkmoot.core.saga.events import BudgetSpent
from folkmoot.core.saga.state import Saga

Events = list[object]

WALL_TIME = ""
"""Stands for a step in the timer of the whole saga; no step can be called so."""


def spending(saga: Saga, outcome: Outcome) -> Events:
    """Return what a call has used up, if anything."""
    usage = outcome.usage
    if usage is None or usage == Usage():
        return []
    return [BudgetSpent(saga.saga_id, outcome.step_id, usage)]


def total(saga: Saga, usage: Usage | None) -> Usage:
    """Return all that was used up, with `usage`."""
    more, spent = usage or Usage(), saga.spent
    return Usage(
        spent.tokens + more.tokens, spent.micros + more.micros, spent.unpriced + more.unpriced
    )


def exceeded(saga: Saga, usage: Usage | None) -> Failure | None:
    """Return which limit is exceeded when `usage` is added to what was spent, None if none is."""
    budget, spent = saga.budget, total(saga, usage)
    if budget.tokens > 0 and spent.tokens > budget.tokens:
        return _over(f"{spent.tokens:,} tokens, of {budget.tokens:,}")
    if budget.micros > 0 and spent.micros > budget.micros:
        return _over(f"${spent.micros / 1e6:,.2f}, of ${budget.micros / 1e6:,.2f}")
    if budget.micros > 0 and spent.unpriced and not budget.unpriced_allowed:
        detail = f"{spent.unpriced:,} times something was spent that has no known price"
        return Failure("unpriced", detail, retryable=False)
    hops = saga.hops + (usage.hops if usage else 0)
    if 0 < budget.hops < hops:
        return _over(f"{hops:,} hops, of {budget.hops:,}")
    return time_over(saga) if saga.wall_time_passed else None


def time_over(saga: Saga) -> Failure:
    """Return that the saga has taken longer than it may."""
    return _over(f"its time of {saga.budget.wall_ms:,} ms")


def _over(what: str) -> Failure:
    return Failure("over-budget", f"the saga has used up {what}", retryable=False)
