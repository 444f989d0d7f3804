"""`python -m folkmoot.runtime.probe [live|ready]`: asks this container's service how it is.

For the health checks of containers, whose images have neither curl nor wget. The exit status is 0
if the service answers that it is; what it says otherwise is printed, where `docker inspect` shows
it. A check runs every few seconds in every container, so only small modules are imported: Python's
own HTTP client would take longer to load than all else that is done here.
"""

from __future__ import annotations

import os
import socket
import sys

QUESTIONS = ("live", "ready")
DEFAULT_PORT = 8700
TIMEOUT_S = 2.0
"""Less than the timeout of a health check, so that it is this program which says what is wrong."""

EXIT_NOT, EXIT_USAGE = 1, 2
OK = 200


def main(arguments: list[str]) -> int:
    """Ask for readiness, or for what the argument names; the exit status."""
    question = arguments[0] if arguments else "ready"
    if question not in QUESTIONS:
        print(f"ask for one of: {', '.join(QUESTIONS)}", file=sys.stderr)
        return EXIT_USAGE
    port = int(os.environ.get("FOLKMOOT_HTTP_PORT", DEFAULT_PORT))
    try:
        status, answer = asked(port, f"/health/{question}")
    except (OSError, ValueError, IndexError) as error:
        print(f"nothing answers on port {port}: {error!r}")
        return EXIT_NOT
    print(answer)
    return 0 if status == OK else EXIT_NOT


def asked(port: int, path: str) -> tuple[int, str]:
    """Return the status and the body of what a port of this machine answers.

    Raises:
        ValueError: it is no HTTP, and so does IndexError.
        OSError: nothing answers in time.
    """
    with socket.create_connection(("127.0.0.1", port), TIMEOUT_S) as connection:
        connection.sendall(f"GET {path} HTTP/1.0\r\nHost: localhost\r\n\r\n".encode())
        with connection.makefile("rb") as answer:
            head, _, body = answer.read().partition(b"\r\n\r\n")
    return int(head.split(b" ", 2)[1]), body.decode()


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
