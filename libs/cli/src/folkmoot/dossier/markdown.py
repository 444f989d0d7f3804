"""The report as Markdown (CommonMark, with GitHub's tables).

Everything that comes from metadata is escaped: anybody can write into a package's metadata.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence

from folkmoot.dossier.models import Citation, Finding
from folkmoot.dossier.report import Claim, Report, Row, Section
from folkmoot.dossier.text import counted, ranges, size_text

HEADINGS = ("package", "version", "licence", "family", "size", "needed by", "reaches", "sources")


def render(report: Report) -> str:
    """Return the report as Markdown."""
    parts = [
        f"# {escaped(report.title)}",
        escaped(report.overview),
        "## What to know",
        _lines(_finding(number, each) for number, each in enumerate(report.findings, 1)),
        *(part for section in report.sections for part in _section(section)),
        "## All packages",
        _table(report.rows),
        "## Sources",
        _lines(_source(citation) for citation in report.citations),
    ]
    if report.left_out:
        parts.append(escaped(left_out(report.left_out)))
    return "\n\n".join(part for part in parts if part) + "\n"


def left_out(count: int) -> str:
    """Return the sentence that says how many sources are not numbered."""
    return f"There was no room to number {counted(count, 'further source', 'further sources')}."


def references(numbers: Iterable[int]) -> str:
    """Return source numbers in brackets, runs of them as first and last."""
    runs = [f"{a}" if a == b else f"{a}–{b}" for a, b in ranges(numbers)]  # noqa: RUF001
    return f" [{', '.join(runs)}]" if runs else ""


def escaped(text: str) -> str:
    """Return text that Markdown takes literally."""
    return re.sub(r"([\\`*_\[\]<>|&~$])", r"\\\1", text)


def _lines(lines: Iterable[str]) -> str:
    return "\n".join(lines)


def _finding(number: int, finding: Finding) -> str:
    return f"{number}. {escaped(finding.sentence)}{references(finding.citations)}"


def _section(section: Section) -> Iterable[str]:
    claims = _lines(_claim(claim) for claim in section.claims)
    return (f"## {section.title}", claims or section.if_none)


def _claim(claim: Claim) -> str:
    return f"- **{escaped(claim.subject)}**: {escaped(claim.says)}{references(claim.citations)}"


def _table(rows: Sequence[Row]) -> str:
    return _lines([_cells(HEADINGS), _cells(["---"] * len(HEADINGS)), *map(_row, rows)])


def _row(row: Row) -> str:
    package = row.package
    texts = (
        package.name,
        package.version,
        package.licence,
        package.family,
        size_text(package.bytes) + (" (editable)" if package.editable else ""),
        str(package.dependants),
        str(package.reach),
    )
    return _cells([*map(escaped, texts), references(row.citations).strip()])


def _cells(texts: Iterable[str]) -> str:
    return f"| {' | '.join(texts)} |"


def _source(citation: Citation) -> str:
    told = f"{citation.source}: {citation.subject}, {citation.predicate}, {citation.value}"
    return f"{citation.number}. {escaped(told)}"
