"""The dossier of the environment that runs the tests, against simple computations of it."""

from __future__ import annotations

import re
from collections import Counter
from importlib import metadata
from pathlib import Path
from typing import Any

import pytest
from packaging.requirements import Requirement

from folkmoot.dossier.analysis import analyse
from folkmoot.dossier.corpus import distributions
from folkmoot.dossier.facts import read
from folkmoot.dossier.models import Analysis
from folkmoot.dossier.verify import citations_that_do_not_hold
from folkmoot.dossier.writing import write

FACT_BYTES_MEAN_MAX = 200


@pytest.fixture(scope="module")
def facts() -> list[list[Any]]:
    return [list(fact) for name in distributions() for fact in read(name).facts]


@pytest.fixture(scope="module")
def analysis(facts: list[list[Any]]) -> Analysis:
    return analyse(facts)


def installed() -> dict[str, metadata.Distribution]:
    found: dict[str, metadata.Distribution] = {}
    for distribution in metadata.distributions():
        name = re.sub(r"[-_.]+", "-", distribution.metadata["Name"]).lower()
        found.setdefault(name, distribution)
    return found


def test_every_distribution_is_there_with_its_version(analysis: Analysis) -> None:
    expected = {name: distribution.version for name, distribution in installed().items()}
    assert {package.name: package.version for package in analysis.packages} == expected


def test_unmet_requirements_are_those_that_a_check_without_extras_finds(
    analysis: Analysis,
) -> None:
    """Like `pip check`, which knows no extras; extras that are asked for may only add to it."""
    here = installed()
    expected = set()
    for name, distribution in here.items():
        for text in distribution.requires or ():
            requirement = Requirement(text)
            if requirement.marker and not requirement.marker.evaluate({"extra": ""}):
                continue
            needed = here.get(re.sub(r"[-_.]+", "-", requirement.name).lower())
            met = needed and requirement.specifier.contains(needed.version, prereleases=True)
            if not met:
                expected.add((name, text))
    found = {(p.package, p.requirement) for p in analysis.unmet if "extra" not in p.requirement}
    assert found == expected


def test_declared_licences_are_those_in_the_metadata(analysis: Analysis) -> None:
    """Like `pip-licenses --from=expression`: what is declared is what is shown."""
    for name, distribution in installed().items():
        expression = distribution.metadata.get("License-Expression")  # type: ignore[attr-defined]
        if expression:
            assert analysis.by_name[name].licence == expression
            assert analysis.by_name[name].basis == "SPDX expression"


def test_sizes_are_those_of_record(analysis: Analysis) -> None:
    for name, distribution in installed().items():
        listed = distribution.files
        expected = sum(file.size or 0 for file in listed) if listed is not None else None
        assert analysis.by_name[name].bytes == expected


def test_dependants_are_those_found_from_below(analysis: Analysis) -> None:
    count: Counter[str] = Counter()
    for package in analysis.packages:
        above: set[str] = {package.name}
        while True:
            more = {p.name for p in analysis.packages if above & set(p.needs)} | above
            if more == above:
                break
            above = more
        count[package.name] = len(above) - 1
    assert {package.name: package.dependants for package in analysis.packages} == count


def test_facts_are_few_and_small(facts: list[list[Any]], analysis: Analysis) -> None:
    assert sum(len(str(fact)) for fact in facts) / len(facts) < FACT_BYTES_MEAN_MAX
    assert len(facts) < 20 * len(analysis.packages)


def test_the_whole_job_holds(facts: list[list[Any]], analysis: Analysis, tmp_path: Path) -> None:
    draft = write(tmp_path, analysis, facts)
    assert len(draft.findings) == 5
    assert len(draft.citations) > len(analysis.packages)
    assert citations_that_do_not_hold(draft.citations) == []
