"""The reference saga in one process on one file: whoever dies at an entry, all of it dies."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

from folkmoot.cli.platform import environment
from tests.crashes.agents import EFFECTS
from tests.crashes.judging import Ran, ran, saga_of
from tests.crashes.striking import FOLDER, Point, Trap

ROOT = Path(__file__).resolve().parents[2]
KEY = "reference"
ENDS_WITHIN_S = 120


class Died(Exception):
    """A process ended otherwise than it was to."""


def run(folder: Path, point: Point | None = None) -> Ran:
    """Run the saga in `folder`, which is new; once more if it dies at `point`.

    Raises:
        Died: the process ended by itself without having finished the saga, or was never killed.
    """
    trap, effects = Trap(folder / "trap"), folder / "effects"
    trap.watch(saga_of(KEY), point)
    began = time.monotonic()
    status, printed, complaints = _process(folder, effects)
    if point is not None:
        if (status, trap.sprung) != (-signal.SIGKILL, True):
            raise Died(f"nobody died {point}; the status is {status}\n{complaints}")
        status, printed, complaints = _process(folder, effects)
    if status != 0:
        raise Died(f"it ended with status {status}\n{complaints}")
    return ran(json.loads(printed), trap, effects, time.monotonic() - began)


def _process(folder: Path, effects: Path) -> tuple[int, str, str]:
    argv = [sys.executable, "-m", "tests.crashes.embedded", f"{folder / 'log.db'}", KEY]
    settings = {FOLDER: f"{folder / 'trap'}", EFFECTS: f"{effects}"}
    try:
        ended = subprocess.run(
            argv,
            cwd=ROOT,
            env={**os.environ, **environment(), **settings},
            capture_output=True,
            text=True,
            timeout=ENDS_WITHIN_S,
            check=False,
        )
    except subprocess.TimeoutExpired as late:
        raise Died(f"it did not end within {ENDS_WITHIN_S} s") from late
    return ended.returncode, ended.stdout, ended.stderr
