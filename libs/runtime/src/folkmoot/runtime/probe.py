"""`python -m folkmoot.runtime.probe [live|ready]`: asks this container's service how it is.

For the health checks of containers, whose images have neither curl nor wget. The exit status is 0
if the service answers that it is; what it says otherwise is printed, where `docker inspect` shows
it. Only small modules of the standard library are imported, since a check runs every few seconds.
"""

from __future__ import annotations

import os
import sys
from http import HTTPStatus
from http.client import HTTPConnection, HTTPException

QUESTIONS = ("live", "ready")
DEFAULT_PORT = 8700
TIMEOUT_S = 2.0
"""Less than the timeout of a health check, so that it is this program which says what is wrong."""

EXIT_NOT, EXIT_USAGE = 1, 2


def main(arguments: list[str]) -> int:
    """Ask for readiness, or for what the argument names; the exit status."""
    question = arguments[0] if arguments else "ready"
    if question not in QUESTIONS:
        print(f"ask for one of: {', '.join(QUESTIONS)}", file=sys.stderr)
        return EXIT_USAGE
    port = int(os.environ.get("FOLKMOOT_HTTP_PORT", DEFAULT_PORT))
    try:
        status, answer = asked(port, f"/health/{question}")
    except (OSError, HTTPException) as error:
        print(f"nothing answers on port {port}: {error!r}")
        return EXIT_NOT
    print(answer)
    return 0 if status == HTTPStatus.OK else EXIT_NOT


def asked(port: int, path: str) -> tuple[int, str]:
    """Return the status and the body of what a port of this machine answers."""
    connection = HTTPConnection("127.0.0.1", port, timeout=TIMEOUT_S)
    try:
        connection.request("GET", path)
        answer = connection.getresponse()
        return answer.status, answer.read().decode()
    finally:
        connection.close()


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
