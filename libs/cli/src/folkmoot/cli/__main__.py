"""The entry point of `folkmoot`: every error a sentence, every status a meaning."""

from __future__ import annotations

import logging
import sys

from folkmoot.cli.app import app
from folkmoot.cli.output import EXIT_FAILED, CommandError, complaints


def main() -> None:
    """Run the command line."""
    logging.basicConfig(level=logging.CRITICAL)
    try:
        app()
    except CommandError as error:
        complaints.print(f"[bold red]error:[/] {error}", soft_wrap=True)
        sys.exit(error.status)
    except BrokenPipeError:
        sys.exit(EXIT_FAILED)


if __name__ == "__main__":
    main()
