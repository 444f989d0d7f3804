"""What an operator of the saga-orchestrator can set, besides what every service has."""

from __future__ import annotations

from pydantic import Field

from folkmoot.core.saga import SagaSettings
from folkmoot.runtime.settings import Settings


class SagaOrchestratorServiceSettings(Settings):
    """Settings of one saga-orchestrator process."""

    sagas_at_once: int = Field(default=0, ge=0)
    """Sagas of a shard that have begun and not ended; what comes beyond waits. 0: no limit."""

    team_sagas_at_once: int = Field(default=0, ge=0)
    """The same of each team. 0: no limit."""

    queued_sagas_max: int = Field(default=10_000, ge=0)
    """Sagas of a shard that may wait to begin; beyond it tasks are refused, and may come again."""

    def machine(self) -> SagaSettings:
        """Return the settings of its machine."""
        return SagaSettings(
            sagas_at_once=self.sagas_at_once,
            team_sagas_at_once=self.team_sagas_at_once,
            queued_sagas_max=self.queued_sagas_max,
        )
