"""A plan as it is recorded, and the hash by which it is known again."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import MISSING, asdict, dataclass, fields
from hashlib import blake2b
from typing import Any, Literal

from folkmoot.core.kernel import Tampered
from folkmoot.core.messages import Json

ResultOf = Literal["aggregate", "steps", "only-step"]
"""A saga's result: the leader's aggregation, all steps' results by id, or that of the only step."""
Comparison = Literal["eq", "ne", "lt", "le", "gt", "ge", "in", "truthy"]
Role = Literal["ordinary", "pivot", "retriable"]

AGGREGATED: ResultOf = "aggregate"


@dataclass(frozen=True, slots=True)
class Condition:
    """Holds if what `path` leads to in the result of `step` compares so with `value`."""

    step: str
    path: tuple[str | int, ...]
    op: Comparison
    value: Json


@dataclass(frozen=True, slots=True)
class PlannedStep:
    """One step of a recorded plan, with everything that was decided about how it runs.

    Once a `pivot` has succeeded its saga only goes forward. A `retriable` step never fails for
    good. Times of 0 are no limits: `total_ms` is for all attempts together, `queue_timeout_ms` for
    an attempt to be begun by a worker, `heartbeat_ms` from one sign of life to the next. A step
    whose condition `when` does not hold is omitted. One with `each` is run for each item of that
    step's result, side by side, and its own result is the list of theirs. A `child` is a saga of
    its own: by the definition `name` of the team `agent`.
    """

    id: str
    name: str
    agent: str
    input: Json
    needs: tuple[str, ...]
    timeout_ms: int
    attempts: int
    initial_ms: int
    factor: float
    cap_ms: int
    compensable: bool
    role: Role = "ordinary"
    total_ms: int = 0
    queue_timeout_ms: int = 0
    heartbeat_ms: int = 0
    when: Condition | None = None
    each: str = ""
    child: bool = False


@dataclass(frozen=True, slots=True)
class PlanRecorded:
    """The plan, once and for all; `plan_hash` tells it from any other.

    No more than `max_parallel` steps are begun and not ended at a time; 0 is no limit. `result`
    says what the saga results in: what the leader's hook makes of the steps' results, or these.
    """

    saga_id: str
    plan_hash: str
    steps: tuple[PlannedStep, ...]
    max_parallel: int = 0
    result: ResultOf = "aggregate"

    def verify(self) -> None:
        """Check a plan that was read back; called by whoever reads a log, before it is believed.

        Raises:
            Tampered: it is not the one that was recorded.
        """
        found = hash_of(text_of(self.steps), self.max_parallel, self.result)
        if found != self.plan_hash and not self._is_of_old():
            raise Tampered(
                f"the plan of saga {self.saga_id} has the hash {found}, and was recorded with "
                f"{self.plan_hash}: the log was altered, or written by a newer version of "
                "Folkmoot; restore it from a replica or a backup, or upgrade"
            )

    def _is_of_old(self) -> bool:
        """Whether it was hashed as plans were before their hashes outlasted a version."""
        rows = [[getattr(step, name) for name in PlannedStep.__slots__] for step in self.steps]
        for width in _WIDTHS_OF_OLD:
            if all(len(_told(row)) <= width for row in rows):
                text = _written([row[:width] for row in rows])
                if hash_of(text, self.max_parallel, self.result) == self.plan_hash:
                    return True
        return False


def hash_of(text: str, max_parallel: int, result: ResultOf) -> str:
    """Return the hash of a plan whose steps are that `text`, the same in every version."""
    pinned = f"{max_parallel}{text}" if max_parallel else text
    pinned = pinned if result == AGGREGATED else f"{result}{pinned}"
    return blake2b(pinned.encode(), digest_size=16).hexdigest()


def text_of(steps: Sequence[PlannedStep]) -> str:
    """Return what the hash of a plan is of, besides what concerns all its steps."""
    return _written(
        [_told([getattr(step, name) for name in PlannedStep.__slots__]) for step in steps]
    )


def _written(values: list[list[Any]]) -> str:
    return json.dumps(values, sort_keys=True, separators=(",", ":"), default=asdict)


_DEFAULTS = tuple(getattr(field, "default", None) for field in fields(PlannedStep))
_OPTIONAL_FROM = next(n for n, field in enumerate(fields(PlannedStep)) if field.default != MISSING)

_WIDTHS_OF_OLD = (15, 17)
"""How many fields a step had when the hash was of all of them, be they left out or not."""

NAMES_BYTES = sum(len(name) + len('"":') for name in PlannedStep.__slots__) + len(
    json.dumps(_DEFAULTS[_OPTIONAL_FROM:])
)
"""What the names of a step's fields, and those that its text leaves out, add to it in the log."""


def _told(values: list[Any]) -> list[Any]:
    """Return the values of a step's fields up to the last that is not left out.

    Fields that are added later do not change the hash of a plan that has none of them.
    """
    end = len(values)
    while end > _OPTIONAL_FROM and values[end - 1] == _DEFAULTS[end - 1]:
        end -= 1
    return values[:end]
