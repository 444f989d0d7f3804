"""What an operator of the breaker-proxy can set, besides what every service has."""

from __future__ import annotations

from folkmoot.core.breaker import BreakerSettings
from folkmoot.runtime.settings import Settings


class BreakerProxyServiceSettings(Settings):
    """Settings of one breaker-proxy process."""

    def machine(self) -> BreakerSettings:
        """Return the settings of its machine."""
        return BreakerSettings()
