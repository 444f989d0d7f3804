"""What is concluded: requirements with markers and extras, problems, reach, sizes."""

from __future__ import annotations

import random
import sys

import pytest

from folkmoot.dossier.analysis import analyse
from folkmoot.dossier.models import Analysis
from tests.unit.dossier.environments import Environment

OTHER_PLATFORM = "win32" if sys.platform != "win32" else "linux"


def needs(analysis: Analysis) -> dict[str, list[str]]:
    return {package.name: package.needs for package in analysis.packages}


def unmet(analysis: Analysis) -> list[tuple[str, str, str | None]]:
    return [(problem.package, problem.requirement, problem.found) for problem in analysis.unmet]


def test_only_requirements_whose_markers_hold_count(environment: Environment) -> None:
    environment.add(
        "app",
        needs=[
            "here; python_version >= '3.0'",
            f"elsewhere; sys_platform == '{OTHER_PLATFORM}'",
            "past; python_version < '3.0'",
        ],
    )
    for name in ("here", "elsewhere", "past"):
        environment.add(name)
    assert needs(environment.analyse())["app"] == ["here"]


def test_an_extra_counts_only_where_somebody_asks_for_it(environment: Environment) -> None:
    environment.add("app", needs=["lib[fast]"])
    environment.add("lib", needs=['speed; extra == "fast"', 'colour; extra == "pretty"'])
    environment.add("speed")
    environment.add("colour")
    analysis = environment.analyse()
    assert needs(analysis)["lib"] == ["speed"]
    assert analysis.by_name["app"].reach == 2
    assert analysis.by_name["colour"].users == []
    assert analysis.by_name["colour"].optional_for == ["lib[pretty]"]
    assert analysis.by_name["speed"].optional_for == []


def test_extras_lead_on_to_extras_whatever_the_order(environment: Environment) -> None:
    environment.add("a", needs=["b[x_y]"])
    environment.add("b", needs=['c[Z]; extra == "x-y"', 'b[more]; extra == "x-y"'])
    environment.add("c", needs=['d; extra == "z"', 'gone; extra == "z"'])
    environment.add("d")
    analysis = environment.analyse()
    assert needs(analysis) == {"a": ["b"], "b": ["c"], "c": ["d"], "d": []}
    assert unmet(analysis) == [("c", 'gone; extra == "z"', None)]


def test_an_extra_that_an_unneeded_extra_asks_for_does_not_count(
    environment: Environment,
) -> None:
    environment.add("a", needs=['b[x]; extra == "never"'])
    environment.add("b", needs=['gone; extra == "x"'])
    assert unmet(environment.analyse()) == []


def test_an_extra_that_is_here_in_full_explains_what_nobody_needs(
    environment: Environment,
) -> None:
    environment.add(
        "app",
        needs=[
            'one; extra == "all"', 'two; extra == "all"',
            'one; extra == "part"', 'gone; extra == "part"',
        ],
    )  # fmt: skip
    environment.add("one")
    environment.add("two")
    analysis = environment.analyse()
    assert analysis.by_name["one"].optional_for == ["app[all]"]
    assert analysis.by_name["two"].optional_for == ["app[all]"]
    assert analysis.by_name["one"].users == []


def test_what_an_extra_adds_is_told_from_what_is_needed_anyhow(environment: Environment) -> None:
    environment.add("app", needs=["gone", "base", 'tool; extra == "dev"', 'base; extra == "dev"'])
    environment.add("base")
    environment.add("tool")
    packages = environment.analyse().by_name
    assert packages["tool"].optional_for == ["app[dev]"]


def test_missing_and_conflicting_requirements_are_found(environment: Environment) -> None:
    environment.add("app", needs=["gone>1", "old>=2", "fine<2", "pre>=1.0"])
    environment.add("old", "1.5")
    environment.add("fine", "1.9")
    environment.add("pre", "1.1rc1")
    assert unmet(environment.analyse()) == [("app", "old>=2", "1.5"), ("app", "gone>1", None)]


@pytest.mark.parametrize(
    ("requirement", "conflicts"), [("odd", 0), ("odd>=1", 1), ("odd===x.y", 0)]
)
def test_a_version_that_is_none_satisfies_only_what_asks_for_no_order(
    environment: Environment, requirement: str, conflicts: int
) -> None:
    environment.add("app", needs=[requirement])
    environment.add("odd", "x.y")
    assert len(environment.analyse().conflicts) == conflicts


def test_a_version_that_could_not_be_read_is_no_conflict(environment: Environment) -> None:
    environment.add("app", needs=["mute>=2"])
    folder = environment.add("mute")
    (folder / "METADATA").write_text("Name: mute\n")
    analysis = environment.analyse()
    assert unmet(analysis) == []
    assert analysis.by_name["mute"].version == ""
    assert [problem.package for problem in analysis.unreadable] == ["mute"]


def test_reach_dependants_and_weight_count_each_package_once(environment: Environment) -> None:
    environment.add("top", needs=["left", "right"], files={"t": 1})
    environment.add("left", needs=["base"], files={"l": 10})
    environment.add("right", needs=["base"], files={"r": 100})
    environment.add("base", files={"b": 1000})
    packages = environment.analyse().by_name
    assert (packages["top"].reach, packages["top"].closure_bytes) == (3, 1111)
    assert (packages["base"].dependants, packages["base"].users) == (3, ["left", "right"])


def test_a_circle_is_walked_once(environment: Environment) -> None:
    environment.add("hen", needs=["egg"], files={"h": 1})
    environment.add("egg", needs=["hen", "egg"], files={"e": 2})
    packages = environment.analyse().by_name
    for name in ("hen", "egg"):
        assert (packages[name].reach, packages[name].dependants) == (1, 1)
        assert packages[name].closure_bytes == 3
    assert packages["egg"].needs == ["hen"]


def test_an_unknown_size_is_not_taken_for_nothing(environment: Environment) -> None:
    folder = environment.add("sizeless")
    (folder / "RECORD").unlink()
    environment.add("sized", files={"s": 5})
    analysis = environment.analyse()
    assert analysis.by_name["sizeless"].bytes is None
    assert analysis.bytes == 5


def test_the_order_and_number_of_times_of_facts_do_not_matter(environment: Environment) -> None:
    environment.add("a", needs=["b>=2", "c"], files={"x": 3})
    environment.add("b", "1.0", "License: MIT")
    environment.add("c", "1.0", "Classifier: License :: Other", "Classifier: License :: Free")
    facts = environment.facts()
    shuffled = [*facts, *facts]
    random.Random(7).shuffle(shuffled)
    assert analyse(shuffled) == analyse(facts)
    assert analyse(shuffled).facts == len(facts)


def test_nothing_at_all_is_no_problem() -> None:
    assert analyse([]).packages == []
