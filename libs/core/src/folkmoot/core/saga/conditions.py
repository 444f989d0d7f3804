"""Whether a step's condition holds. Data compared with data: nothing in a plan is ever run."""

from __future__ import annotations

import operator
from collections.abc import Callable, Mapping
from typing import Any

from folkmoot.core.messages import Json
from folkmoot.core.saga.plan_events import Condition

COMPARISONS: Mapping[str, Callable[[Any, Any], bool]] = {
    "eq": operator.eq,
    "ne": operator.ne,
    "lt": operator.lt,
    "le": operator.le,
    "gt": operator.gt,
    "ge": operator.ge,
    "in": lambda found, value: found in value,
    "truthy": lambda found, _: bool(found),
}


def holds(condition: Condition, result: Json) -> bool:
    """Return whether a result fulfils a condition; what cannot be compared does not."""
    try:
        return bool(COMPARISONS[condition.op](_found(condition, result), condition.value))
    except TypeError:
        return False


def _found(condition: Condition, result: Json) -> Json:
    """Return what the condition's path leads to, None if it leads nowhere."""
    for part in condition.path:
        try:
            result = result[part]
        except (KeyError, IndexError, TypeError):
            return None
    return result
