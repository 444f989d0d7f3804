"""The layered layout: what holds of any graph, and small graphs as they must look."""

from __future__ import annotations

import string
from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from folkmoot.dossier.layout import Layout, layered

NODES = string.ascii_lowercase[:12]

graphs = st.dictionaries(
    st.sampled_from(NODES), st.lists(st.sampled_from(NODES), unique=True, max_size=5)
)


def layer_names(layout: Layout) -> list[list[str]]:
    return [[spot.name for spot in layer if not spot.edge] for layer in layout.layers]


@given(graphs)
def test_every_node_is_placed_once_and_every_edge_goes_right(graph: dict[str, list[str]]) -> None:
    layout = layered(graph)
    assert sorted(name for layer in layer_names(layout) for name in layer) == sorted(graph)
    for (start, end), route in layout.routes.items():
        assert end in graph[start]
        assert (route[0].name, route[-1].name) == (start, end)
        assert all(b.layer == a.layer + 1 for a, b in pairwise(route))
        assert all(bend.edge == (start, end) for bend in route[1:-1])


@given(graphs)
def test_nothing_overlaps(graph: dict[str, list[str]]) -> None:
    layout = layered(graph)
    for layer in layout.layers:
        for above, below in pairwise(layer):
            gap = layout.rows[below] - layout.rows[above]
            assert gap >= (above.gap + below.gap) / 2 - 1e-6
    assert min(layout.rows.values(), default=0) == 0
    assert max(layout.rows.values(), default=0) == layout.height


@given(graphs)
def test_what_could_be_reached_without_circles_still_can(graph: dict[str, list[str]]) -> None:
    acyclic = {n: [need for need in needs if need > n] for n, needs in graph.items()}
    routes = layered(acyclic).routes
    drawn: dict[str, list[str]] = {name: [] for name in acyclic}
    for start, end in routes:
        drawn[start].append(end)
    for name in acyclic:
        assert reached(name, drawn) == reached(name, acyclic)
        for need in drawn[name]:
            without = {**drawn, name: [n for n in drawn[name] if n != need]}
            assert need not in reached(name, without)


def reached(name: str, graph: dict[str, list[str]]) -> set[str]:
    found: set[str] = set()
    waiting = [name]
    while waiting:
        new = [n for n in graph[waiting.pop()] if n in graph and n not in found]
        found.update(new)
        waiting.extend(new)
    return found


def test_an_edge_that_a_longer_way_implies_is_left_out() -> None:
    layout = layered({"a": ["b", "c"], "b": ["c"], "c": []})
    assert list(layout.routes) == [("a", "b"), ("b", "c")]


def test_a_circle_is_opened() -> None:
    layout = layered({"a": ["b"], "b": ["c"], "c": ["a"]})
    assert layer_names(layout) == [["a"], ["b"], ["c"]]


def test_a_crossing_that_can_be_avoided_is() -> None:
    layout = layered({"a": ["y"], "b": ["x"], "x": [], "y": []})
    first, second = layer_names(layout)
    assert [f"{a}{b}" for a, b in zip(first, second, strict=True)] in (["ay", "bx"], ["bx", "ay"])


def test_a_lonely_way_is_level() -> None:
    layout = layered({"a": ["b"], "b": ["c"], "c": []})
    assert set(layout.rows.values()) == {0.0}


def test_a_root_stands_beside_what_it_needs() -> None:
    layout = layered({"a": ["b"], "b": ["c"], "c": ["d"], "d": [], "late": ["d"]})
    assert [sorted(layer) for layer in layer_names(layout)] == [["a"], ["b"], ["c", "late"], ["d"]]
