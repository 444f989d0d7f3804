"""`python -m folkmoot.event_store`: one process of the event-store."""

from __future__ import annotations

import sys

from folkmoot.event_store.bootstrap import service
from folkmoot.event_store.settings import EventStoreServiceSettings
from folkmoot.runtime.process import main as run


def main() -> int:
    """Run the service; the exit status."""
    return run(service, EventStoreServiceSettings())


if __name__ == "__main__":
    sys.exit(main())
