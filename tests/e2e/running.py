"""Runs `folkmoot demo` as a user does, and kills it as a crash does."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

FOLKMOOT = (sys.executable, "-m", "folkmoot.cli")
TIMEOUT_S = 120


@dataclass(frozen=True)
class Run:
    """How a demo ended: its exit status, what it printed, and its `--json`."""

    status: int
    printed: str
    complaints: str
    told: dict[str, Any]
    folder: Path

    @property
    def saga_id(self) -> str:
        return str(self.told["saga_id"])

    @property
    def address(self) -> str:
        return f"embedded:{self.folder / '.folkmoot' / 'demo.db'}"

    def step(self, step_id: str) -> dict[str, Any]:
        return next(step for step in self.told["steps"] if step["id"] == step_id)


def environment(**settings: str) -> dict[str, str]:
    """Return the environment of a child: this one, with stacks dumped on SIGABRT."""
    return {**os.environ, "PYTHONFAULTHANDLER": "1", **settings}


def demo(folder: Path, *arguments: str, bus: str = "embedded", **settings: str) -> Run:
    """Run a demo in `folder` to its end."""
    told = folder / "told.json"
    told.unlink(missing_ok=True)
    argv = [*FOLKMOOT, "demo", "--json", str(told), "--bus", bus, *arguments]
    child = subprocess.Popen(
        argv,
        cwd=folder,
        env=environment(**settings),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    printed, complaints = _finish(child)
    written = json.loads(told.read_text()) if told.exists() else {}
    return Run(child.returncode, printed, complaints, written, folder)


def _finish(child: subprocess.Popen[str]) -> tuple[str, str]:
    try:
        return child.communicate(timeout=TIMEOUT_S)
    except subprocess.TimeoutExpired:
        child.send_signal(signal.SIGABRT)
        printed, complaints = child.communicate()
        raise AssertionError(f"the demo did not end:\n{printed}\n{complaints}") from None


def kill_when(folder: Path, ready: Callable[[], bool], *arguments: str) -> None:
    """Start a demo and kill -9 it as soon as `ready` says so."""
    child = subprocess.Popen(
        [*FOLKMOOT, "demo", *arguments],
        cwd=folder,
        env=environment(),
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    deadline = time.monotonic() + TIMEOUT_S
    try:
        while not ready():
            assert child.poll() is None, "the demo ended before it was to be killed"
            assert time.monotonic() < deadline, "what was waited for never happened"
            time.sleep(0.01)
    finally:
        child.kill()
        child.wait()
