"""Finds `promtool` and `prometheus`, which no Python package brings.

They are taken from the PATH, or else from Debian's package, which is unpacked under `.venv` and not
installed: that needs no root, and `make clean` takes it away. Where neither can be had, whoever
needs them fails, and says so; nothing is passed over.
"""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

PACKAGE = "prometheus"
DOWNLOAD_TIMEOUT_S = 120
UNPACKED = Path(sys.prefix) / "debian" / PACKAGE


class ProgramMissing(Exception):
    """A program that a check needs cannot be had on this machine."""


def prometheus_program(name: str) -> Path:
    """Return the path of `promtool` or `prometheus`.

    Raises:
        ProgramMissing: it is neither on the PATH nor to be had from Debian.
    """
    on_path = shutil.which(name)
    if on_path is not None:
        return Path(on_path)
    unpacked = UNPACKED / "usr" / "bin" / name
    if not unpacked.exists():
        _unpack()
    return unpacked


def _unpack() -> None:
    folder = UNPACKED.with_name(f"{PACKAGE}.new")
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    try:
        _run(["apt-get", "download", PACKAGE], folder)
        _run(["dpkg-deb", "-x", *(str(path) for path in folder.glob("*.deb")), "."], folder)
    except (OSError, subprocess.SubprocessError) as error:
        raise ProgramMissing(
            "promtool and prometheus are needed to check alerts, and are neither on the PATH nor "
            f"to be had by `apt-get download {PACKAGE}` ({error}): install Prometheus 2.40 or later"
        ) from error
    shutil.rmtree(UNPACKED, ignore_errors=True)
    folder.rename(UNPACKED)


def _run(command: list[str], folder: Path) -> None:
    subprocess.run(command, cwd=folder, check=True, capture_output=True, timeout=DOWNLOAD_TIMEOUT_S)
