"""Writes the report, and takes it away again."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from folkmoot.dossier import html, markdown
from folkmoot.dossier.analysis import index
from folkmoot.dossier.citing import Citations
from folkmoot.dossier.findings import findings
from folkmoot.dossier.models import Analysis, Citation, Draft

MARKDOWN_NAME, HTML_NAME = "dossier.md", "dossier.html"


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
    known, cite = index([tuple(fact) for fact in facts]), Citations()
    found = findings(analysis, known, cite)
    page_text = markdown.render(analysis, known, found, cite)
    page_html = html.render(analysis, found, cite)
    try:
        out.mkdir(parents=True, exist_ok=True)
        _write(out / MARKDOWN_NAME, page_text)
        _write(out / HTML_NAME, page_html)
    except OSError as error:
        raise CannotWrite(f"cannot write the report into {out}: {error}") from error
    citations = [*cite.all, _lie(cite.all)] if plant_a_lie else cite.all
    return Draft(
        markdown=str(out / MARKDOWN_NAME),
        html=str(out / HTML_NAME),
        findings=found,
        citations=citations,
    )


def _write(path: Path, text: str) -> None:
    draft = path.with_suffix(path.suffix + ".draft")
    draft.write_text(text, encoding="utf-8")
    draft.replace(path)


def _lie(citations: Sequence[Citation]) -> Citation:
    last = citations[-1]
    return last.model_copy(update={"number": last.number + 1, "value": "a claim with no source"})


def remove(out: Path) -> None:
    """Take the reports away. Doing so again is harmless."""
    for name in (MARKDOWN_NAME, HTML_NAME):
        (out / name).unlink(missing_ok=True)
        (out / f"{name}.draft").unlink(missing_ok=True)
