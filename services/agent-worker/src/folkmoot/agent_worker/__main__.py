"""`python -m folkmoot.agent_worker`: one worker process; FOLKMOOT_APP says which agents."""

from __future__ import annotations

import sys

from folkmoot.agent_worker.bootstrap import service
from folkmoot.agent_worker.settings import WorkerServiceSettings
from folkmoot.runtime.process import EXIT_MISCONFIGURED
from folkmoot.runtime.process import main as run
from folkmoot.sdk.errors import DefinitionError


def main() -> int:
    """Run the service; the exit status."""
    try:
        return run(service, WorkerServiceSettings())
    except DefinitionError as error:
        print(error, file=sys.stderr)
        return EXIT_MISCONFIGURED


if __name__ == "__main__":
    sys.exit(main())
