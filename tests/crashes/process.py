"""Runs a service as its own program does, with the trap set: `python -m tests.crashes.process`."""

from __future__ import annotations

import sys
from importlib import import_module

from folkmoot.runtime import process
from tests.crashes.striking import striking


def main() -> int:
    process.connect = striking(process.connect)  # type: ignore[attr-defined, assignment]
    status: int = import_module(f"{sys.argv[1]}.__main__").main()
    return status


if __name__ == "__main__":
    sys.exit(main())
