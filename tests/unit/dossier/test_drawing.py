"""Which packages and requirements are drawn, and the SVG."""

from __future__ import annotations

from xml.etree import ElementTree

import pytest

from folkmoot.dossier import drawing
from folkmoot.dossier.drawing import NODES_MAX, RADIUS_MAX, Picture, picture_of
from tests.unit.dossier.environments import Environment

SCRIPT = '"><script>alert(1)</script>'


def names(picture: Picture) -> list[str]:
    return [package.name for package in picture.packages]


def edges(picture: Picture) -> list[tuple[str, str, bool]]:
    return sorted((edge.start, edge.end, edge.optional) for edge in picture.edges)


def test_nothing_needs_no_picture(environment: Environment) -> None:
    environment.add("alone", files={"x": 9})
    assert picture_of(environment.analyse()) == Picture("", [], [])


def test_what_is_connected_is_drawn_as_well_formed_svg(environment: Environment) -> None:
    environment.add("app", needs=["lib"], files={"x": 100})
    environment.add("lib", "1.0", "License: MIT", files={"y": 400})
    environment.add("alone", files={"z": 900})
    picture = picture_of(environment.analyse())
    assert names(picture) == ["app", "lib"]
    assert edges(picture) == [("app", "lib", False)]
    svg = ElementTree.fromstring(picture.svg)
    assert len(svg.findall("path")) == 1
    assert [node.attrib["data-name"] for node in svg.findall("g")] == ["app", "lib"]


def test_a_node_s_area_is_its_size(environment: Environment) -> None:
    environment.add("app", needs=["lib"], files={"x": 100})
    environment.add("lib", files={"y": 400})
    svg = ElementTree.fromstring(picture_of(environment.analyse()).svg)
    radii = [float(circle.attrib["r"]) for circle in svg.iter("circle")]
    assert radii == [pytest.approx(RADIUS_MAX / 2), pytest.approx(RADIUS_MAX)]


def test_a_node_s_colour_is_its_licence(environment: Environment) -> None:
    environment.add("app", "1", "License-Expression: GPL-3.0-only", needs=["lib"])
    environment.add("lib", "1", "License-Expression: MIT")
    svg = ElementTree.fromstring(picture_of(environment.analyse()).svg)
    classes = {node.attrib["data-name"]: node.attrib["class"] for node in svg.findall("g")}
    assert classes == {"app": "node family-2", "lib": "node family-0"}


def test_the_heaviest_are_drawn_with_the_way_that_leads_to_them(
    environment: Environment, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(drawing, "NODES_MAX", 4)
    environment.add("root", needs=["middle", *(f"light-{n}" for n in range(9))])
    environment.add("middle", needs=["heavy"])
    environment.add("heavy", files={"x": 900})
    for number in range(9):
        environment.add(f"light-{number}", files={"y": 10 + number})
    assert names(picture_of(environment.analyse())) == ["heavy", "light-8", "middle", "root"]


def test_there_are_never_too_many_nodes(environment: Environment) -> None:
    environment.add("root", needs=[f"leaf-{n}" for n in range(2 * NODES_MAX)])
    for number in range(2 * NODES_MAX):
        environment.add(f"leaf-{number}", files={"x": number})
    picture = picture_of(environment.analyse())
    assert len(picture.packages) == NODES_MAX
    assert "root" in names(picture)


def test_an_extra_in_full_is_drawn_as_optional_where_nothing_else_explains(
    environment: Environment,
) -> None:
    environment.add("app", needs=['wanted; extra == "all"', 'needed; extra == "all"'])
    environment.add("lib", needs=["needed"])
    environment.add("wanted")
    environment.add("needed")
    drawn = edges(picture_of(environment.analyse()))
    assert drawn == [("app", "wanted", True), ("lib", "needed", False)]


def test_what_is_heavy_but_stands_alone_in_the_picture_is_left_out(
    environment: Environment, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(drawing, "NODES_MAX", 3)
    environment.add("app", needs=["lib"], files={"x": 900})
    environment.add("lib", files={"x": 800})
    environment.add("lonely", needs=["tiny"], files={"x": 700})
    environment.add("tiny", files={"x": 1})
    assert names(picture_of(environment.analyse())) == ["app", "lib"]


def test_metadata_cannot_break_out_of_the_picture(environment: Environment) -> None:
    environment.add("app", needs=["lib"])
    environment.add("lib", SCRIPT.replace("/", ""), f"License: {SCRIPT}")
    svg = picture_of(environment.analyse()).svg
    assert "<script" not in svg
    assert ElementTree.fromstring(svg).find(".//script") is None
