"""The health check of a container, against the shell of a real process that waits for brokers."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, HTTPServer

import pytest

from folkmoot.runtime.probe import EXIT_NOT, EXIT_USAGE, main


class Told(BaseHTTPRequestHandler):
    """Is alive, and not ready."""

    def do_GET(self) -> None:
        alive = self.path == "/health/live"
        self.send_response(200 if alive else 503)
        self.end_headers()
        self.wfile.write(b"alive" if alive else b"no leader")

    def log_message(self, *_: object) -> None:
        return None


@contextmanager
def served() -> Iterator[int]:
    with HTTPServer(("127.0.0.1", 0), Told) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield server.server_port
        finally:
            server.shutdown()
            thread.join()


@pytest.mark.parametrize(
    ("asked", "status", "said"),
    [([], EXIT_NOT, "no leader"), (["ready"], EXIT_NOT, "no leader"), (["live"], 0, "alive")],
)
def test_the_status_is_what_the_service_answers(
    asked: list[str],
    status: int,
    said: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    with served() as port:
        monkeypatch.setenv("FOLKMOOT_HTTP_PORT", str(port))
        assert main(asked) == status
    assert said in capsys.readouterr().out


def test_nobody_there_is_not_ready(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    with served() as port:
        pass
    monkeypatch.setenv("FOLKMOOT_HTTP_PORT", str(port))
    assert main([]) == EXIT_NOT
    assert f"nothing answers on port {port}" in capsys.readouterr().out


@pytest.mark.parametrize("said", [b"", b"hello\n", b"HTTP/1.1 fine\r\n\r\n"])
def test_who_speaks_otherwise_is_not_ready(
    said: bytes, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as stranger:
        thread = threading.Thread(target=answer_once, args=(stranger, said))
        thread.start()
        port = stranger.getsockname()[1]
        monkeypatch.setenv("FOLKMOOT_HTTP_PORT", str(port))
        assert main([]) == EXIT_NOT
        thread.join()
    assert f"nothing answers on port {port}" in capsys.readouterr().out


def answer_once(stranger: socket.socket, said: bytes) -> None:
    caller, _ = stranger.accept()
    with caller:
        caller.recv(1024)
        caller.sendall(said)


def test_what_cannot_be_asked_is_refused() -> None:
    assert main(["happy"]) == EXIT_USAGE
