"""The five most useful things to know, each a sentence with the facts that it rests on."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping

from folkmoot.dossier.analysis import Known
from folkmoot.dossier.citing import Citations
from folkmoot.dossier.models import Analysis, Finding, Package, Problem

FINDINGS = 5
NAMED_MAX = 4

LICENCE_PREDICATES = (
    "licence-expression", "licence-classifier", "licence-text", "licence-file", "version",
)  # fmt: skip


def mebibytes(size: int) -> str:
    """Return a size as people read it."""
    return f"{size / 2**20:,.1f} MiB"


def findings(analysis: Analysis, known: Known, cite: Citations) -> list[Finding]:
    """Return the findings, what needs doing before what is good to know."""
    makers: Iterable[Callable[[Analysis, Known, Citations], Finding | None]] = (
        _integrity,
        _licences,
        _single_point,
        _heaviest,
        _roots,
        _native,
    )
    made = (make(analysis, known, cite) for make in makers)
    return [finding for finding in made if finding is not None][:FINDINGS]


def _integrity(analysis: Analysis, _known: Known, cite: Citations) -> Finding:
    problems = [*analysis.conflicts, *analysis.missing]
    if not problems:
        count = len(analysis.packages)
        return Finding(
            sentence=f"All requirements of all {count} distributions are met: none is missing, "
            "none has a version that another excludes."
        )
    sentence = f"{len(problems)} requirements are not met: {_listed(map(_problem, problems))}."
    numbers = [cite.problem(problem) for problem in problems[:NAMED_MAX]]
    return Finding(sentence=sentence, citations=numbers)


def _problem(problem: Problem) -> str:
    found = f"found {problem.found}" if problem.found else "not installed"
    return f"{problem.package} needs {problem.requirement} ({found})"


def _licences(analysis: Analysis, known: Known, cite: Citations) -> Finding:
    review = [package for package in analysis.packages if package.family != "permissive"]
    if not review:
        return Finding(sentence="Every distribution has a permissive licence.")
    strictest = sorted(review, key=lambda package: _strictness(package.family))
    named = _listed(f"{package.name} ({package.licence})" for package in strictest)
    verb = "licence wants" if len(review) == 1 else "licences want"
    numbers = [licence_citation(package, known, cite) for package in strictest[:NAMED_MAX]]
    return Finding(sentence=f"{len(review)} {verb} a look: {named}.", citations=_present(numbers))


def licence_citation(package: Package, known: Known, cite: Citations) -> int | None:
    """Return the number of the fact that a package's licence was concluded from."""
    facts = known.get(package.name, {})
    for predicate in LICENCE_PREDICATES:
        if facts.get(predicate):
            return cite.fact(facts[predicate][0])
    return None


def _strictness(family: str) -> int:
    order = ("strong copyleft", "unknown", "other", "weak copyleft", "permissive")
    return order.index(family)


def _single_point(analysis: Analysis, known: Known, cite: Citations) -> Finding | None:
    package = max(analysis.packages, key=lambda each: each.dependants, default=None)
    if package is None or package.dependants < 2:
        return None
    return Finding(
        sentence=f"If {package.name} {package.version} breaks, {package.dependants} others go with "
        "it: more depends on it, directly or not, than on anything else.",
        citations=_cited(package, "version", known, cite),
    )


def _heaviest(analysis: Analysis, known: Known, cite: Citations) -> Finding | None:
    package = max(analysis.packages, key=lambda each: each.bytes, default=None)
    if package is None or package.bytes == 0:
        return None
    share = 100 * package.bytes / max(analysis.bytes, 1)
    users = [each.name for each in analysis.packages if package.name in each.needs]
    why = f"because of {_listed(users)}" if users else "on its own account"
    return Finding(
        sentence=f"{package.name} is the heaviest: {mebibytes(package.bytes)}, {share:.0f} % of "
        f"all that is installed, and it is here {why}.",
        citations=_cited(package, "bytes", known, cite),
    )


def _roots(analysis: Analysis, known: Known, cite: Citations) -> Finding | None:
    roots = [package for package in analysis.packages if package.dependants == 0]
    if not roots:
        return None
    roots.sort(key=lambda package: -package.reach)
    named = _listed(f"{package.name} (reaches {package.reach})" for package in roots)
    numbers = [_cited(package, "version", known, cite) for package in roots[:NAMED_MAX]]
    return Finding(
        sentence=f"{len(roots)} distributions are needed by nothing else, so they are what this "
        f"environment is for, or left over: {named}.",
        citations=[number for cited in numbers for number in cited],
    )


def _native(analysis: Analysis, known: Known, cite: Citations) -> Finding | None:
    native = sorted((p for p in analysis.packages if p.native), key=lambda p: -p.native)
    if not native:
        return None
    return Finding(
        sentence=f"{len(native)} distributions ship native code, most of it in "
        f"{_listed(package.name for package in native)}.",
        citations=_cited(native[0], "native", known, cite),
    )


def _cited(package: Package, predicate: str, known: Known, cite: Citations) -> list[int]:
    facts: Mapping[str, list] = known.get(package.name, {})  # type: ignore[type-arg]
    return [cite.fact(facts[predicate][0])] if facts.get(predicate) else []


def _present(numbers: Iterable[int | None]) -> list[int]:
    return [number for number in numbers if number is not None]


def _listed(names: Iterable[str]) -> str:
    every = list(names)
    if len(every) > NAMED_MAX:
        return f"{', '.join(every[:NAMED_MAX])} and {len(every) - NAMED_MAX} more"
    return ", ".join(every)
