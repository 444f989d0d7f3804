"""What an operator of the event store can set, besides what every service has."""

from __future__ import annotations

from pathlib import Path

from folkmoot.core.event_store import EventStoreSettings
from folkmoot.runtime.settings import Settings


class EventStoreServiceSettings(Settings):
    """Settings of one event-store process."""

    index_dir: Path | None = None
    """Where the index of all streams lies; it is disposable. Left out: a new temporary folder."""

    def machine(self) -> EventStoreSettings:
        """Return the settings of its machine."""
        return EventStoreSettings()
