"""Who gets how much where work has to wait, and how much there is to get."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Priority = Literal["high", "normal", "low"]


@dataclass(frozen=True, slots=True)
class Share:
    """For whom something is done, and how urgent it is.

    Tenants get equal shares; a higher priority gets a larger one, and never all of it.
    """

    tenant: str = ""
    priority: Priority = "normal"


DEFAULT_SHARE = Share()


@dataclass(frozen=True, slots=True)
class Limit:
    """What calls of some `steps` of an agent may do together; 0 is no limit.

    No more than `in_flight` are with workers at a time, and no more than `starts` of them begin
    in any `period_ms`. With `by_tenant` each tenant has a limit of its own.
    """

    name: str
    steps: tuple[str, ...]
    in_flight: int = 0
    starts: int = 0
    period_ms: int = 0
    by_tenant: bool = False
