"""`make container-test`: builds the images and runs the main job in containers, under faults.

The job is the dossier, and it has to end right each time: every step succeeded once, nothing was
undone, every claim was checked, the report is there, and all replicas are ready again.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import logging
import os
import shlex
import sys
import time
from collections.abc import Iterator
from pathlib import Path

from rich.console import Console

from deploy import certificates, secrets
from folkmoot.contracts.access import OUTSIDER
from tests.containers.faults import FAULTS
from tests.containers.job import Finished, run
from tests.containers.platform import SECURE, SERVICES, Platform
from tests.containers.secrecy import see_that_secrets_are_ones_own

PROJECT = "folkmoot-test"
FILES = ("docker-compose.yml",)
SECURE_FILES = (*FILES, SECURE)
SCALE = dict.fromkeys((*SERVICES, "agent-worker"), 2)


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="make container-test", description=__doc__)
    parser.add_argument("--compose", default="docker compose", help="the Compose client")
    parser.add_argument("--engine", default="docker", help="the engine's command, or podman")
    parser.add_argument("--only", nargs="+", choices=FAULTS, default=list(FAULTS))
    parser.add_argument("--secure", action="store_true", help="with encrypted connections")
    parser.add_argument("--chaos", action="store_true", help="beside replicas that crash")
    parser.add_argument("--traces", action="store_true", help="see each job's trace in Jaeger")
    parser.add_argument("--keep", action="store_true", help="leave everything running")
    parser.add_argument("--logs", type=Path, help="write the containers' logs here in the end")
    return parser.parse_args()


def main() -> int:
    asked = arguments()
    logging.basicConfig(level=logging.ERROR)
    logging.getLogger("aiokafka").setLevel(logging.CRITICAL)
    console = Console(highlight=False, soft_wrap=True)
    files = SECURE_FILES if asked.secure else FILES
    _sign_in_as(OUTSIDER, asked.secure)
    compose, engine = shlex.split(asked.compose), shlex.split(asked.engine)
    profiles = ("chaos",) if asked.chaos else ()
    platform = Platform(compose, engine, PROJECT, SCALE, files, profiles)
    platform.down()
    with _timed(console, "build of all images"):
        platform.build()
    try:
        with _timed(console, "up, until all are healthy"):
            platform.up()
        see_that_secrets_are_ones_own(platform)
        for name in asked.only:
            _tell(console, asyncio.run(run(platform, name, FAULTS[name](), asked.traces)))
    finally:
        if asked.logs is not None:
            asked.logs.write_text(platform.compose("logs", "--no-color", "--timestamps"))
        if not asked.keep:
            with _timed(console, "down"):
                platform.down()
    left = [] if asked.keep else platform.left()
    console.print(f"left behind: {', '.join(left) or 'nothing'}")
    return 1 if left else 0


def _sign_in_as(user: str, encrypted: bool) -> None:
    """Let this process submit as a program outside does."""
    secrets.make()
    if encrypted:
        certificates.make()
        os.environ["FOLKMOOT_BUS_CA"] = str(secrets.FOLDER / "ca.pem")
    os.environ["FOLKMOOT_BUS_USER"] = user
    os.environ["FOLKMOOT_BUS_PASSWORD"] = (secrets.FOLDER / f"{user}.password").read_text()
    os.environ["FOLKMOOT_BUS_NKEY"] = (secrets.FOLDER / f"{user}.nkey").read_text()


@contextlib.contextmanager
def _timed(console: Console, what: str) -> Iterator[None]:
    began = time.monotonic()
    yield
    console.print(f"| {what} | {time.monotonic() - began:.1f} s | | |")


def _tell(console: Console, job: Finished) -> None:
    checked = f"{job.packages} packages, {job.verified} claims"
    checked += f", one trace of {job.spans} spans" if job.spans else ""
    console.print(f"| {job.fault} | {job.took_s:.1f} s | {job.ready_s:.1f} s | {checked} |")


if __name__ == "__main__":
    sys.exit(main())
