"""What an operator of the breaker-proxy can set, besides what every service has."""

from __future__ import annotations

from pydantic import Field

from folkmoot.core.breaker import BreakerSettings
from folkmoot.runtime.settings import Settings


class BreakerProxyServiceSettings(Settings):
    """Settings of one breaker-proxy process."""

    breaker_consecutive_failures: int = Field(default=5, ge=1)
    """Failures in a row that open a breaker."""

    breaker_failure_rate_percent: int = Field(default=50, ge=1, le=100)
    """Share of failures, among at least ten calls in ten seconds, that opens a breaker."""

    breaker_open_base_ms: int = Field(default=2_000, ge=1)
    """How long a breaker stays open the first time; twice as long each time after that."""

    breaker_open_cap_ms: int = Field(default=30_000, ge=1)
    """The longest that it stays open before it tries a probe."""

    def machine(self) -> BreakerSettings:
        """Return the settings of its machine."""
        return BreakerSettings(
            consecutive_failures=self.breaker_consecutive_failures,
            failure_rate_percent=self.breaker_failure_rate_percent,
            open_base_ms=self.breaker_open_base_ms,
            open_cap_ms=self.breaker_open_cap_ms,
        )
