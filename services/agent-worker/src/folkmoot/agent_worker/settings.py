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
    """Where a team's policy is `priority`, the highest leads; elsewhere it only settles ties."""

    labels: dict[str, str] = Field(default_factory=dict)
    """What a team's rules may ask of its leader, as JSON: `{"zone": "a"}`."""

    version: str = ""
    """The version of the agents' code, such as `1.12.0`, for rules that ask for one."""
