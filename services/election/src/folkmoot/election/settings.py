"""What an operator of the election can set, besides what every service has."""

from __future__ import annotations

from folkmoot.core.election import ElectionSettings
from folkmoot.runtime.settings import Settings


class ElectionServiceSettings(Settings):
    """Settings of one election process."""

    def machine(self) -> ElectionSettings:
        """Return the settings of its machine."""
        return ElectionSettings(orchestrator_partitions=self.partitions)
