"""`python -m folkmoot.saga_orchestrator`: one process of the saga-orchestrator."""

from __future__ import annotations

import sys

from folkmoot.runtime.process import main as run
from folkmoot.saga_orchestrator.bootstrap import service
from folkmoot.saga_orchestrator.settings import SagaOrchestratorServiceSettings


def main() -> int:
    """Run the service; the exit status."""
    return run(service, SagaOrchestratorServiceSettings())


if __name__ == "__main__":
    sys.exit(main())
