"""A plan's steps, as a leader's `plan` hook returns them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from pydantic_core import to_jsonable_python


@dataclass(frozen=True, slots=True)
class Retry:
    """How often a step is attempted, and how long to wait in between.

    The wait grows by `factor` from `initial_s` to `cap_s`, and is then drawn from zero to that
    (full jitter), so that steps that failed together do not come back together.
    """

    attempts: int = 3
    initial_s: float = 0.2
    factor: float = 2.0
    cap_s: float = 30.0

    def to_json(self) -> dict[str, Any]:
        """Return it as the saga machine reads it."""
        return {
            "attempts": self.attempts,
            "initial_ms": round(self.initial_s * 1000),
            "factor": self.factor,
            "cap_ms": round(self.cap_s * 1000),
        }


@dataclass(frozen=True, slots=True)
class Step:
    """One step of a plan: run the step called `name` with `input` after those it `needs`.

    `id` defaults to `name`, so it must be given where a step is planned more than once. `agent`
    is only needed where several agents of a team have a step of that name.
    """

    name: str
    input: Any = None
    id: str | None = None
    needs: Sequence[str] = ()
    agent: str | None = None

    @property
    def step_id(self) -> str:
        """Return the id that other steps need it by."""
        return self.id or self.name


def to_json(value: object) -> Any:
    """Return pydantic models, dataclasses, dates and so on as JSON values."""
    return to_jsonable_python(value, serialize_unknown=False)
