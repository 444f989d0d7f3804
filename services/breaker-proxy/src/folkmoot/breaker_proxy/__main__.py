"""`python -m folkmoot.breaker_proxy`: one process of the breaker-proxy."""

from __future__ import annotations

import sys

from folkmoot.breaker_proxy.bootstrap import service
from folkmoot.breaker_proxy.settings import BreakerProxyServiceSettings
from folkmoot.runtime.process import main as run


def main() -> int:
    """Run the service; the exit status."""
    return run(service, BreakerProxyServiceSettings())


if __name__ == "__main__":
    sys.exit(main())
