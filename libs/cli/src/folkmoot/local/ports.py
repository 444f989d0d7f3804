"""Ports of this machine: which are free, who holds one, and whether somebody answers there."""

from __future__ import annotations

import asyncio
import contextlib
import http.client
import random
import socket

import psutil

from folkmoot.local.errors import PortTaken

LOOPBACK = "127.0.0.1"
CHOICES = range(20_000, 32_000)
"""Where free ports are chosen from: below the range that systems lend to outgoing connections,
where a client that keeps dialling a stopped broker can be given the broker's own port."""

ANSWER_WITHIN_S = 2.0
"""A local process that takes longer to answer is not ready."""


def is_free(port: int) -> bool:
    """Return whether a server can listen on the port."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((LOOPBACK, port))
        except OSError:
            return False
    return True


def free_port() -> int:
    """Return a port that nobody listens on now."""
    choose = random.SystemRandom().choice
    while not is_free(port := choose(CHOICES)):
        pass
    return port


def require_free(port: int, needed_by: str) -> None:
    """Raise `PortTaken`, with the name of whoever holds the port, unless it is free."""
    if not is_free(port):
        raise PortTaken(port, needed_by, holder(port))


def holder(port: int) -> str | None:
    """Return the program that listens on a port, or None if the system does not tell."""
    with contextlib.suppress(psutil.Error):
        for link in psutil.net_connections("tcp"):
            listens = link.status == psutil.CONN_LISTEN and link.laddr[1:] == (port,)
            if listens and link.pid:
                return f"{psutil.Process(link.pid).name()} (process {link.pid})"
    return None


async def accepts(port: int) -> bool:
    """Return whether something accepts connections on the port."""
    try:
        async with asyncio.timeout(ANSWER_WITHIN_S):
            _, writer = await asyncio.open_connection(LOOPBACK, port)
    except (OSError, TimeoutError):
        return False
    writer.close()
    with contextlib.suppress(OSError):
        await writer.wait_closed()
    return True


async def answers_ok(port: int, path: str) -> bool:
    """Return whether an HTTP GET of `path` is answered with 200."""
    return await asyncio.to_thread(_get_status, port, path) == http.HTTPStatus.OK


def _get_status(port: int, path: str) -> int | None:
    connection = http.client.HTTPConnection(LOOPBACK, port, timeout=ANSWER_WITHIN_S)
    try:
        connection.request("GET", path)
        return connection.getresponse().status
    except (OSError, http.client.HTTPException):
        return None
    finally:
        connection.close()
