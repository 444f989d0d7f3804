"""What the report says, each claim with the numbers of its sources, before it is written down.

Markdown and HTML render the same report, so a number means the same source in both.
"""

from __future__ import annotations

import platform
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from folkmoot.dossier.citing import Citations
from folkmoot.dossier.drawing import Picture, picture_of
from folkmoot.dossier.evidence import Evidence
from folkmoot.dossier.facts import Fact
from folkmoot.dossier.findings import findings, problem_text, reasons, why_here
from folkmoot.dossier.models import Analysis, Citation, Finding, Package, Problem
from folkmoot.dossier.text import counted, size_text

RANKED_MAX = 10
"""Of a list that is ordered by weight: the table has them all."""


@dataclass(frozen=True)
class Claim:
    """What is said of a package, and the numbers of its sources."""

    subject: str
    says: str
    citations: Sequence[int]


@dataclass(frozen=True)
class Section:
    """Claims of one kind; without any, what that means."""

    title: str
    claims: Sequence[Claim]
    if_none: str = ""


@dataclass(frozen=True)
class Row:
    """A package in the table of all, and the numbers of its sources."""

    package: Package
    citations: Sequence[int]


@dataclass(frozen=True)
class Report:
    """All that is said."""

    title: str
    overview: str
    analysis: Analysis
    findings: Sequence[Finding]
    sections: Sequence[Section]
    picture: Picture
    picture_citations: Sequence[int]
    rows: Sequence[Row]
    citations: Sequence[Citation]
    left_out: int
    """The sources that there was no room to number."""


def compose(
    analysis: Analysis, facts: Iterable[Sequence[Any]], *, plant_a_lie: bool = False
) -> Report:
    """Return the report. With `plant_a_lie` its last finding is one that its source denies."""
    evidence, cite = Evidence(facts), Citations()
    found = findings(analysis, evidence, cite)
    if plant_a_lie:
        found.append(_lie(analysis, evidence, cite))
    sections = [make(analysis, evidence, cite) for make in SECTIONS]
    picture = picture_of(analysis)
    drawn = [f for edge in picture.edges for f in evidence.optional(edge.start, edge.end)]
    return Report(
        title=f"Dependency dossier of {platform.python_implementation()} "
        f"{platform.python_version()}",
        overview=_overview(analysis),
        analysis=analysis,
        findings=found,
        sections=sections,
        picture=picture,
        picture_citations=cite.facts(drawn),
        rows=[_row(package, evidence, cite) for package in analysis.packages],
        citations=cite.all,
        left_out=len(cite.left_out),
    )


def _overview(analysis: Analysis) -> str:
    families = ", ".join(f"{count} {family}" for family, count in analysis.families.items())
    grounds = Counter(package.basis for package in analysis.packages).most_common()
    based = ", ".join(f"{count} by {basis}" for basis, count in grounds)
    return (
        f"{counted(len(analysis.packages), 'distribution', 'distributions')}, "
        f"{size_text(analysis.bytes)} installed, {len(analysis.native)} with native code. "
        f"Licences: {families or 'none'}. Concluded: {based or 'nothing'}."
    )


def _lie(analysis: Analysis, evidence: Evidence, cite: Citations) -> Finding:
    names = [package.name for package in analysis.packages]
    told = [fact for name in names for fact in evidence.of(name, "version")][:1]
    truth = told[0] if told else Fact("nothing", "version", "", "nothing#Version")
    lie = truth._replace(value="0+planted")
    sentence = f"{lie.subject} is at version {lie.value}: a claim planted to show what happens."
    return Finding(sentence=sentence, citations=cite.facts([lie]))


def _unmet(analysis: Analysis, evidence: Evidence, cite: Citations) -> Section:
    claims = [
        Claim(problem.package, problem_text(problem), cite.facts(evidence.problem(problem)))
        for problem in analysis.unmet
    ]
    none = "None: every requirement that applies here is met."
    return Section("Requirements that are not met", claims, none)


def _licences(analysis: Analysis, evidence: Evidence, cite: Citations) -> Section:
    claims = [
        Claim(
            package.name,
            f"{package.licence} ({package.family}, by {package.basis})",
            cite.facts(evidence.licence(package.name)),
        )
        for package in analysis.to_review
    ]
    return Section("Licences to look at", claims, "None: all are permissive.")


def _points(analysis: Analysis, evidence: Evidence, cite: Citations) -> Section:
    ranked = sorted(analysis.packages, key=lambda package: (-package.dependants, package.name))
    claims = [
        Claim(
            package.name,
            f"{package.dependants} depend on it, {len(package.users)} of them directly",
            cite.facts(evidence.users(package.name)),
        )
        for package in ranked[:RANKED_MAX]
        if package.dependants > 1
    ]
    return Section("Single points of failure", claims, "None: nothing is needed by two others.")


def _heaviest(analysis: Analysis, evidence: Evidence, cite: Citations) -> Section:
    ranked = sorted(analysis.packages, key=lambda package: (-(package.bytes or 0), package.name))
    claims = [
        Claim(
            package.name,
            f"{size_text(package.bytes)}, {why_here(package)}",
            cite.facts([*evidence.of(package.name, "bytes"), *reasons(package, evidence)]),
        )
        for package in ranked[:RANKED_MAX]
        if package.bytes
    ]
    return Section("The heaviest, and why they are here", claims, "No size could be read.")


def _unneeded(analysis: Analysis, evidence: Evidence, cite: Citations) -> Section:
    ranked = sorted(analysis.packages, key=lambda package: (-package.closure_bytes, package.name))
    unneeded = [package for package in ranked if not package.users]
    claims = [
        Claim(
            package.name,
            f"{_weight(package)}; {why_here(package)}",
            cite.facts([*evidence.needs(package.name), *reasons(package, evidence)]),
        )
        for package in unneeded[:RANKED_MAX]
    ]
    title = "What no other package needs"
    if len(unneeded) > RANKED_MAX:
        title += f": the heaviest of {len(unneeded)}"
    return Section(title, claims, "None: everything is needed.")


def _weight(package: Package) -> str:
    if not package.reach:
        return size_text(package.bytes)
    reached = counted(package.reach, "other", "others")
    return f"{size_text(package.closure_bytes)} with the {reached} that it reaches"


def _unreadable(analysis: Analysis, evidence: Evidence, cite: Citations) -> Section:
    return Section(
        "What could not be read",
        [_complaint(problem, evidence, cite) for problem in analysis.unreadable],
        "Nothing: all metadata is in order.",
    )


def _complaint(problem: Problem, evidence: Evidence, cite: Citations) -> Claim:
    return Claim(problem.package, problem.requirement, cite.facts(evidence.problem(problem)))


SECTIONS = (_unmet, _licences, _points, _heaviest, _unneeded, _unreadable)


def _row(package: Package, evidence: Evidence, cite: Citations) -> Row:
    native = ["native"] if package.native else []
    facts = evidence.of(package.name, "version", "bytes", *native, "editable")
    return Row(package, cite.facts([*facts, *evidence.licence(package.name)]))
