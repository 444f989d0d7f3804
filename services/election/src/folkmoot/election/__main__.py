"""`python -m folkmoot.election`: one process of the election."""

from __future__ import annotations

import sys

from folkmoot.election.bootstrap import service
from folkmoot.election.settings import ElectionServiceSettings
from folkmoot.runtime.process import main as run


def main() -> int:
    """Run the service; the exit status."""
    return run(service, ElectionServiceSettings())


if __name__ == "__main__":
    sys.exit(main())
