"""What an operator of the saga-orchestrator can set, besides what every service has."""

from __future__ import annotations

from folkmoot.core.saga import SagaSettings
from folkmoot.runtime.settings import Settings


class SagaOrchestratorServiceSettings(Settings):
    """Settings of one saga-orchestrator process."""

    def machine(self) -> SagaSettings:
        """Return the settings of its machine."""
        return SagaSettings()
