"""What an operator of agent workers can set, besides what every service has."""

from __future__ import annotations

from pydantic import Field

from folkmoot.runtime.settings import Settings


class WorkerServiceSettings(Settings):
    """Settings of one worker process."""

    app: str = ""
    """The agents to host, as `module:name`; the name is an Agent or a list of them."""

    session_ttl_ms: int = Field(default=1500, ge=100, le=60_000)
    """Silence after which the election service takes this member for dead."""

    priority: int = 0
    """Members with a higher priority are elected before others."""
