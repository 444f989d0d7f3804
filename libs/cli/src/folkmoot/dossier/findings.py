"""The five most useful things to know, each a sentence with the facts that it rests on."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from folkmoot.dossier.citing import Citations
from folkmoot.dossier.evidence import Evidence
from folkmoot.dossier.facts import Fact
from folkmoot.dossier.models import Analysis, Finding, Package, Problem
from folkmoot.dossier.text import NAMED_MAX, counted, listed, size_text

FINDINGS_MAX = 5

Made = tuple[str, Sequence[Fact]] | None
"""A sentence and its grounds, or nothing worth saying."""


def findings(analysis: Analysis, evidence: Evidence, cite: Citations) -> list[Finding]:
    """Return the findings, what needs doing before what is good to know."""
    ranked = (
        _unmet(analysis, evidence) or _all_met(analysis, evidence),
        _unreadable(analysis, evidence),
        _licences(analysis, evidence),
        _single_point(analysis, evidence),
        _heaviest(analysis, evidence),
        _unneeded(analysis, evidence),
        _native(analysis, evidence),
    )
    made = [each for each in ranked if each is not None][:FINDINGS_MAX]
    numbers = {text: cite.facts(facts) for text, facts in sorted(made, key=_breadth)}
    return [Finding(sentence=text, citations=numbers[text]) for text, _ in made]


def _breadth(made: tuple[str, Sequence[Fact]]) -> int:
    """Return how much a sentence rests on: what rests on little is numbered first, and together."""
    return len(made[1])


def problem_text(problem: Problem) -> str:
    """Return what is wrong with a requirement."""
    found = f"found {problem.found}" if problem.found else "not installed"
    return f"needs {problem.requirement} ({found})"


def why_here(package: Package) -> str:
    """Return why a package is installed, as far as requirements tell."""
    if package.users:
        return f"needed by {listed(package.users)}"
    if package.optional_for:
        extras = f"the {'extra' if len(package.optional_for) == 1 else 'extras'}"
        return f"needed by no package, but by {extras} {listed(package.optional_for)}"
    return "needed by no package here"


def _of(problems: Iterable[Problem], evidence: Evidence) -> list[Fact]:
    return [fact for problem in problems for fact in evidence.problem(problem)]


def _unmet(analysis: Analysis, evidence: Evidence) -> Made:
    if not analysis.unmet:
        return None
    how_many = counted(len(analysis.unmet), "requirement is", "requirements are")
    named = listed(f"{p.package} {problem_text(p)}" for p in analysis.unmet)
    return f"{how_many} not met: {named}.", _of(analysis.unmet[:NAMED_MAX], evidence)


def _all_met(analysis: Analysis, evidence: Evidence) -> Made:
    if analysis.unmet or not analysis.packages:
        return None
    return (
        f"Every requirement of the {counted(len(analysis.packages), 'package', 'packages')} "
        "that applies here is met: nothing is missing, no version conflicts.",
        evidence.all_needs(),
    )


def _unreadable(analysis: Analysis, evidence: Evidence) -> Made:
    if not analysis.unreadable:
        return None
    names = list(dict.fromkeys(problem.package for problem in analysis.unreadable))
    return (
        f"Metadata of {counted(len(names), 'package', 'packages')} could not be read in full: "
        f"{listed(names)}.",
        _of((p for p in analysis.unreadable if p.package in names[:NAMED_MAX]), evidence),
    )


def _licences(analysis: Analysis, evidence: Evidence) -> Made:
    review = analysis.to_review
    if not analysis.packages:
        return None
    if not review:
        licensed = [evidence.licence(package.name) for package in analysis.packages]
        return "Every package has a permissive licence.", [f for facts in licensed for f in facts]
    how_many = counted(len(review), "licence wants", "licences want")
    named = listed(f"{package.name} ({package.licence})" for package in review)
    grounds = [f for package in review[:NAMED_MAX] for f in evidence.licence(package.name)]
    return f"{how_many} a look: {named}.", grounds


def _single_point(analysis: Analysis, evidence: Evidence) -> Made:
    package = max(analysis.packages, key=lambda each: each.dependants, default=None)
    if package is None or package.dependants < 2:
        return None
    return (
        f"{package.name} carries most: {package.dependants} of {len(analysis.packages)} packages "
        f"depend on it, {len(package.users)} of them directly.",
        [*evidence.of(package.name, "version"), *evidence.users(package.name)],
    )


def _heaviest(analysis: Analysis, evidence: Evidence) -> Made:
    package = max(analysis.packages, key=lambda each: each.bytes or 0, default=None)
    if package is None or not package.bytes:
        return None
    share = 100 * package.bytes / analysis.bytes
    return (
        f"{package.name} is the heaviest: {size_text(package.bytes)}, {share:.0f} % of all that "
        f"is installed, and {why_here(package)}.",
        [*evidence.of(package.name, "bytes"), *reasons(package, evidence)],
    )


def reasons(package: Package, evidence: Evidence) -> list[Fact]:
    """Return the requirements that a package is here for, those of extras where there are none."""
    extras = dict.fromkeys(extra.split("[")[0] for extra in package.optional_for)
    optional = [f for name in extras for f in evidence.optional(name, package.name)]
    return evidence.users(package.name) or optional


def _unneeded(analysis: Analysis, evidence: Evidence) -> Made:
    unneeded = [package for package in analysis.packages if not package.users]
    if not unneeded:
        return None
    unneeded.sort(key=lambda package: (-package.reach, package.name))
    named = listed(f"{package.name} (reaches {package.reach})" for package in unneeded)
    return (
        f"{counted(len(unneeded), 'package is', 'packages are')} needed by no other, so what this "
        f"environment is for, or left over: {named}.",
        [f for package in unneeded[:NAMED_MAX] for f in evidence.needs(package.name)],
    )


def _native(analysis: Analysis, evidence: Evidence) -> Made:
    native = sorted(analysis.native, key=lambda package: (-package.native, package.name))
    if not native:
        return None
    return (
        f"{counted(len(native), 'package ships', 'packages ship')} native code, most files of it "
        f"in {listed(package.name for package in native)}.",
        [f for package in native[:NAMED_MAX] for f in evidence.of(package.name, "native")],
    )
