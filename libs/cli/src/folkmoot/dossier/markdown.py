"""The report as Markdown."""

from __future__ import annotations

import platform
from collections.abc import Iterable, Sequence

from folkmoot.dossier.analysis import Known
from folkmoot.dossier.citing import Citations
from folkmoot.dossier.findings import licence_citation, mebibytes
from folkmoot.dossier.models import Analysis, Citation, Finding, Package, Problem

ROWS_MAX = 10


def title() -> str:
    """Return the report's title."""
    return f"Dependency dossier of {platform.python_implementation()} {platform.python_version()}"


def render(analysis: Analysis, known: Known, found: Sequence[Finding], cite: Citations) -> str:
    """Return the report. Citations made here are added to `cite`."""
    parts = [
        f"# {title()}",
        _overview(analysis),
        _section("What to know", [f"{n}. {cited(f)}" for n, f in enumerate(found, 1)]),
        _section("Requirements that are not met", _problems(analysis, cite)),
        _section("Licences to look at", _licences(analysis, known, cite)),
        _section("Single points of failure", _points(analysis)),
        _section("The heaviest", _heaviest(analysis, known, cite)),
        _section("What could not be read", _unreadable(analysis)),
    ]
    parts.append(_section("Sources", sources(cite.all)))
    return "\n\n".join(part for part in parts if part) + "\n"


def _overview(analysis: Analysis) -> str:
    native = sum(package.native > 0 for package in analysis.packages)
    families = ", ".join(f"{count} {family}" for family, count in analysis.families.items())
    return (
        f"{len(analysis.packages)} distributions, {mebibytes(analysis.bytes)} installed, "
        f"{native} with native code. Licences: {families}."
    )


def cited(finding: Finding) -> str:
    """Return a finding with the numbers of its sources."""
    return finding.sentence + "".join(f" [{number}]" for number in finding.citations)


def _section(heading: str, lines: Iterable[str]) -> str:
    body = "\n".join(lines)
    return f"## {heading}\n\n{body}" if body else ""


def _problems(analysis: Analysis, cite: Citations) -> list[str]:
    lines = [_problem(problem, cite) for problem in [*analysis.conflicts, *analysis.missing]]
    return lines or ["None: every requirement that applies here is met."]


def _problem(problem: Problem, cite: Citations) -> str:
    found = f"found {problem.found}" if problem.found else "not installed"
    number = cite.problem(problem)
    return f"- `{problem.package}` needs `{problem.requirement}`: {found} [{number}]"


def _licences(analysis: Analysis, known: Known, cite: Citations) -> list[str]:
    review = [package for package in analysis.packages if package.family != "permissive"]
    return [_licence(package, known, cite) for package in review] or ["None: all are permissive."]


def _licence(package: Package, known: Known, cite: Citations) -> str:
    number = licence_citation(package, known, cite)
    source = f" [{number}]" if number is not None else ""
    return f"- `{package.name}`: {_escaped(package.licence)}, {package.family}{source}"


def _points(analysis: Analysis) -> list[str]:
    ranked = sorted(analysis.packages, key=lambda package: -package.dependants)[:ROWS_MAX]
    return [
        f"- `{package.name}`: {package.dependants} depend on it, directly or not"
        for package in ranked
        if package.dependants > 1
    ]


def _heaviest(analysis: Analysis, known: Known, cite: Citations) -> list[str]:
    ranked = sorted(analysis.packages, key=lambda package: -package.bytes)[:ROWS_MAX]
    lines = []
    for package in ranked:
        sizes = known[package.name].get("bytes")
        source = f" [{cite.fact(sizes[0])}]" if sizes else ""
        lines.append(f"- `{package.name}`: {mebibytes(package.bytes)}{source}")
    return lines


def _unreadable(analysis: Analysis) -> list[str]:
    return [f"- `{each.package}`: {_escaped(each.requirement)}" for each in analysis.unreadable]


def sources(citations: Iterable[Citation]) -> list[str]:
    """Return the numbered sources."""
    return [f"{citation.number}. `{citation.source}`" for citation in citations]


def _escaped(text: str) -> str:
    for character in "\\`*_[]<>|":
        text = text.replace(character, f"\\{character}")
    return text
