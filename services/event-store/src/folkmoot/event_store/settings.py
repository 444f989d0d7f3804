"""What an operator of the event-store can set, besides what every service has."""

from __future__ import annotations

from folkmoot.core.event_store import EventStoreSettings
from folkmoot.runtime.settings import Settings


class EventStoreServiceSettings(Settings):
    """Settings of one event-store process."""

    def machine(self) -> EventStoreSettings:
        """Return the settings of its machine."""
        return EventStoreSettings()
