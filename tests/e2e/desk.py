"""A running embedded mesh, and the command line that a user has beside it."""

from __future__ import annotations

import asyncio
import subprocess
from dataclasses import dataclass
from pathlib import Path

from running import FOLKMOOT, environment

from folkmoot import Client

TIMEOUT_S = 60


@dataclass
class Desk:
    """A client of the mesh on `log.db` in `folder`."""

    client: Client
    folder: Path

    async def command(self, *arguments: str) -> tuple[int, str, str]:
        """Run `folkmoot` on the mesh; its status, and what it printed and complained of."""
        ran = await asyncio.to_thread(
            subprocess.run,
            [*FOLKMOOT, *arguments, "--bus", f"embedded:{self.folder}/log.db"],
            env=environment(PYTHONPATH=f"{self.folder}", COLUMNS="200"),
            cwd=self.folder,
            capture_output=True,
            text=True,
            timeout=TIMEOUT_S,
            check=False,
        )
        return ran.returncode, ran.stdout, ran.stderr
