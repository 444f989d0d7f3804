"""Plants each defect of the catalogue into a copy of the sources, and sees whether a test notices.

First the unit tests, those of what is changed before the others, then the simulator. A mutant that
nothing notices survives: a check is missing, and the exit status is 1.
"""

from __future__ import annotations

import argparse
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path, PurePath

from rich.console import Console
from rich.table import Table

from tests.mutants.catalogue import MUTANTS
from tests.mutants.mutant import Mutant

ROOT = Path(__file__).resolve().parents[2]
COPIED = ("libs", "services", "tests", "bench", "examples", "docs", "pyproject.toml")
IGNORED = shutil.ignore_patterns("__pycache__", "*.egg-info", ".hypothesis")
TIMEOUT_S = 900
"""For one kind of check on one mutant: a mutant that hangs is noticed by that."""

PARTS = ("contracts", "runtime", "core")
"""Whose unit tests look at each mutant, the quickest first."""

PYTEST = ("pytest", "-q", "-x", "-p", "no:cacheprovider", "--hypothesis-profile", "unshrunk")
"""That something fails is enough, however long the shortest example."""

SIMULATOR = ("folkmoot.testing.simulation", "--seeds", "0:300", "--jobs", "1", "--quiet")
TABLE_ROW = "| {} | {} | {} |"
TABLE_HEAD = "\n".join(
    (TABLE_ROW.format("defect", "breaks", "noticed by"), "| --- | --- | --- |\n")
)


@dataclass(frozen=True, slots=True)
class Fate:
    """What became of a mutant: what noticed it, None if nothing did, and by which test."""

    mutant: str
    killer: str | None
    detail: str
    duration_s: float


def copy_of_sources(folder: Path) -> dict[str, str]:
    """Copy the sources into `folder`; return the environment in which they are imported."""
    for name in COPIED:
        source = ROOT / name
        if source.is_dir():
            shutil.copytree(source, folder / name, ignore=IGNORED)
        elif source.exists():
            shutil.copy(source, folder / name)
    sources = sorted([*folder.glob("libs/*/src"), *folder.glob("services/*/src")])
    path = os.pathsep.join(map(str, [*sources, folder]))
    return os.environ | {"PYTHONPATH": path, "PYTHONDONTWRITEBYTECODE": "1"}


def checks(mutant: Mutant | None) -> list[tuple[str, Sequence[str]]]:
    """Return what looks at a mutant, one after the other until one notices."""
    near = sorted({_tests_of(change.file) for change in mutant.changes}) if mutant else []
    units = [near] if near else []
    units.append([f"tests/unit/{part}" for part in PARTS])
    return [*(("unit tests", (*PYTEST, *folders)) for folders in units), ("simulator", SIMULATOR)]


def _tests_of(file: str) -> str:
    """Return the folder of the unit tests of a source file."""
    folder = PurePath(file.partition("/src/folkmoot/")[2]).parent
    while not (ROOT / "tests/unit" / folder).is_dir():
        folder = folder.parent
    return str("tests/unit" / folder)


def fate_of(mutant: Mutant | None) -> Fate:
    """Return what becomes of `mutant`; of the sources as they are, if it is None."""
    name = mutant.name if mutant else "(none)"
    began = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="folkmoot-mutant-") as folder:
        environment = copy_of_sources(Path(folder))
        for change in mutant.changes if mutant else ():
            change.apply(Path(folder))
        for killer, command in checks(mutant):
            detail = _failure(command, Path(folder), environment)
            if detail is not None:
                return Fate(name, killer, detail, time.monotonic() - began)
    return Fate(name, None, "", time.monotonic() - began)


def _failure(command: Sequence[str], folder: Path, environment: dict[str, str]) -> str | None:
    """Return the line that says what failed, None if nothing did."""
    try:
        done = subprocess.run(
            [sys.executable, "-m", *command],
            cwd=folder, env=environment, capture_output=True, text=True, timeout=TIMEOUT_S,
            check=False,
        )  # fmt: skip
    except subprocess.TimeoutExpired:
        return f"did not end within {TIMEOUT_S} s"
    if done.returncode == 0:
        return None
    told = [
        line
        for line in done.stdout.splitlines()
        if line.startswith(("FAILED", "ERROR tests", "seed"))
    ]
    return told[0] if told else (done.stdout + done.stderr).strip().splitlines()[-1]


def report(fates: Sequence[Fate]) -> None:
    """Print the fates as a table."""
    table = Table(title=f"{len(fates)} mutants", title_justify="left")
    for heading in ("mutant", "breaks", "noticed by", "seconds"):
        table.add_column(heading, overflow="fold")
    for fate in fates:
        by = f"{fate.killer}: {_short(fate.detail)}" if fate.killer else "[bold red]SURVIVED"
        table.add_row(fate.mutant, _breaks(fate.mutant), by, f"{fate.duration_s:.0f}")
    Console(width=160).print(table)


def _short(detail: str) -> str:
    return detail.removeprefix("FAILED ").split(" - ")[0].replace("tests/", "")


def write(fate: Fate, file: Path) -> None:
    """Put a fate into the table that ends a Markdown file; the rows of other mutants stay."""
    before, _, old = file.read_text().partition(TABLE_HEAD)
    rows = {line.split("|")[1].strip(): line for line in old.splitlines()}
    by = f"{fate.killer}: `{_short(fate.detail)}`" if fate.killer else "**nothing**"
    rows[fate.mutant] = TABLE_ROW.format(fate.mutant, _breaks(fate.mutant), by)
    known = [rows[mutant.name] for mutant in MUTANTS if mutant.name in rows]
    file.write_text(before + TABLE_HEAD + "\n".join(known) + "\n")


def _breaks(name: str) -> str:
    return next(mutant.breaks for mutant in MUTANTS if mutant.name == name)


def main() -> int:
    """Run the mutants that were asked for, all by default; the exit status."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("names", nargs="*", help="only these mutants")
    parser.add_argument("--jobs", type=int, default=os.cpu_count() or 1)
    parser.add_argument("--write", type=Path, metavar="FILE", help="put the fates into its table")
    asked = parser.parse_args()
    chosen = [mutant for mutant in MUTANTS if not asked.names or mutant.name in asked.names]
    if not chosen:
        parser.error(f"there is no such mutant; there are: {', '.join(m.name for m in MUTANTS)}")
    healthy = fate_of(None)
    if healthy.killer is not None:
        print(f"the sources themselves do not pass: {healthy.detail}", file=sys.stderr)
        return 2
    fates: list[Fate] = []
    with ThreadPoolExecutor(asked.jobs) as threads:
        for fate in threads.map(fate_of, chosen):
            fates.append(fate)
            if asked.write:
                write(fate, asked.write)
            told = fate.killer or "SURVIVED"
            print(f"{len(fates)}/{len(chosen)} {fate.mutant}: {told}", file=sys.stderr, flush=True)
    report(fates)
    survivors = [fate.mutant for fate in fates if fate.killer is None]
    print(f"{len(fates) - len(survivors)} of {len(fates)} noticed")
    return 1 if survivors else 0


if __name__ == "__main__":
    sys.exit(main())
