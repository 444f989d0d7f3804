"""Small Python programs that behave well or badly, to be run as processes."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from folkmoot.local.ports import free_port
from folkmoot.local.processes import ServiceProcess, ServiceSpec

GOOD = """
import http.server, pathlib, signal, sys

port, trace = int(sys.argv[1]), pathlib.Path(sys.argv[2])
refusals = [None] * int(sys.argv[3])

class Health(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        ready = self.path == "/health/ready" and not refusals
        if refusals:
            refusals.pop()
        self.send_response(200 if ready else 503)
        self.end_headers()

    def log_message(self, *_):
        pass

def farewell(*_):
    with trace.open("a") as file:
        file.write(f"{port}\\n")
    sys.exit(0)

signal.signal(signal.SIGTERM, farewell)
print("serving", port, flush=True)
http.server.HTTPServer(("127.0.0.1", port), Health).serve_forever()
"""

BEHAVIOURS = {
    "good": GOOD,
    "deaf": GOOD.replace("signal.SIGTERM, farewell", "signal.SIGTERM, signal.SIG_IGN"),
    "never ready": GOOD.replace("and not refusals", "and False"),
    "dying": "print('about to fail'); print('there is no topic'); raise SystemExit(3)",
}

Make = Callable[..., ServiceProcess]


@pytest.fixture
def trace(tmp_path: Path) -> Path:
    """A file to which each good process adds its port when it ends in good order."""
    return tmp_path / "trace"


@pytest.fixture
def child(tmp_path: Path, trace: Path) -> Iterator[Make]:
    """Make a process, not started yet; it refuses to be ready so many times."""
    made: list[ServiceProcess] = []

    def make(name: str = "child", does: str = "good", refusals: int = 0) -> ServiceProcess:
        port = free_port()
        code = BEHAVIOURS[does]
        argv = [sys.executable, "-c", code, str(port), str(trace), str(refusals)]
        made.append(ServiceProcess(ServiceSpec(name, argv, port), tmp_path / f"{name}.log"))
        return made[-1]

    yield make
    for process in made:
        asyncio.run(process.kill())
