"""Who gets how much where work has to wait."""

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
