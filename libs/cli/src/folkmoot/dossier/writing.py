"""Writes the report, and takes it away again."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from folkmoot.dossier import html, markdown
from folkmoot.dossier.models import Analysis, Draft
from folkmoot.dossier.report import compose

MARKDOWN_NAME, HTML_NAME = "dossier.md", "dossier.html"
DRAFT_PREFIX = ".dossier-"
"""Of the files that a report is written to before it takes its name."""


class CannotWrite(OSError):
    """The report cannot be written where it was asked for."""


def write(
    out: Path, analysis: Analysis, facts: Iterable[Sequence[Any]], *, plant_a_lie: bool = False
) -> Draft:
    """Write both reports into `out`, each at once or not at all.

    With `plant_a_lie` one claim is made that no source supports, to show what happens then.

    Raises:
        CannotWrite: the folder cannot be written to.
    """
    report = compose(analysis, facts, plant_a_lie=plant_a_lie)
    texts = {MARKDOWN_NAME: markdown.render(report), HTML_NAME: html.render(report)}
    try:
        out.mkdir(parents=True, exist_ok=True)
        for name, text in texts.items():
            _write(out / name, text)
    except OSError as error:
        raise CannotWrite(
            f"cannot write the report into {out}: {error.strerror or error}; "
            "name a folder that you may write to"
        ) from error
    return Draft(
        markdown=str(out / MARKDOWN_NAME),
        html=str(out / HTML_NAME),
        findings=list(report.findings),
        citations=list(report.citations),
    )


def _write(path: Path, text: str) -> None:
    """Put a whole file in place, or none: a reader or a crash never sees half of one."""
    handle, name = tempfile.mkstemp(dir=path.parent, prefix=DRAFT_PREFIX)
    draft = Path(name)
    try:
        with os.fdopen(handle, "w", encoding="utf-8", newline="\n") as file:
            file.write(text)
        draft.chmod(0o644)
        draft.replace(path)
    except BaseException:
        draft.unlink(missing_ok=True)
        raise


def remove(out: Path) -> None:
    """Take the reports away. Doing so again is harmless."""
    for path in (out / MARKDOWN_NAME, out / HTML_NAME, *out.glob(f"{DRAFT_PREFIX}*")):
        path.unlink(missing_ok=True)
