"""Places a graph's nodes in layers so that it can be read, after Sugiyama, Tagawa and Toda (1981).

Edges go from left to right. An edge that a longer way implies is left out, one that would close a
cycle too. Long edges bend where they pass a layer, so that they do not run through its nodes.
The same graph is always placed alike.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise

Edge = tuple[str, str]
Graph = Mapping[str, Sequence[str]]
"""Each node, and where its edges lead."""

SWEEPS = 12
"""Of ordering and of straightening; more did not change graphs of this size."""

NODE_GAP, BEND_GAP = 1.0, 0.55
"""In rows: a bend needs less room than a node with its label."""


@dataclass(frozen=True)
class Spot:
    """A node, or the bend of an edge, in its layer."""

    layer: int
    name: str
    edge: Edge | None = None

    @property
    def gap(self) -> float:
        """The rows that it needs to itself."""
        return NODE_GAP if self.edge is None else BEND_GAP


@dataclass(frozen=True)
class Layout:
    """Where everything is: layers count from the left, rows may be fractions."""

    layers: Sequence[Sequence[Spot]]
    routes: Mapping[Edge, Sequence[Spot]]
    rows: Mapping[Spot, float]

    @cached_property
    def height(self) -> float:
        """The number of rows."""
        return max(self.rows.values(), default=0.0)


def layered(graph: Graph) -> Layout:
    """Return the layout of a graph."""
    edges = _without_implied(_without_cycles(graph))
    layer_of = _layers(graph, edges)
    routes = {edge: _route(edge, layer_of) for edge in edges}
    layers = _spots(graph, layer_of, routes.values())
    links = [(a, b) for route in routes.values() for a, b in pairwise(route)]
    ordered = _ordered(layers, links)
    return Layout(layers=ordered, routes=routes, rows=_straightened(ordered, links))


def _without_cycles(graph: Graph) -> list[Edge]:
    """Return the edges less those that lead back to where a search is coming from."""
    kept: list[Edge] = []
    done: set[str] = set()
    for root in graph:
        trail: list[tuple[str, list[str]]] = [(root, list(graph[root]))]
        while trail and root not in done:
            node, left = trail[-1]
            if not left:
                done.add(node)
                trail.pop()
                continue
            need = left.pop(0)
            if need in graph and need not in [each for each, _ in trail]:
                kept.append((node, need))
                if need not in done:
                    trail.append((need, list(graph[need])))
    return kept


def _without_implied(edges: Sequence[Edge]) -> list[Edge]:
    """Return the transitive reduction of edges without cycles."""
    after: dict[str, list[str]] = {}
    for start, end in edges:
        after.setdefault(start, []).append(end)
    reach: dict[str, set[str]] = {}

    def reached(node: str) -> set[str]:
        if node not in reach:
            reach[node] = set().union(*({n} | reached(n) for n in after.get(node, ())))
        return reach[node]

    return [
        (start, end)
        for start, end in edges
        if not any(end in reached(other) for other in after[start] if other != end)
    ]


def _layers(graph: Graph, edges: Sequence[Edge]) -> dict[str, int]:
    """Return each node's layer: the longest way to it, then as near to its neighbours as can be."""
    layer = dict.fromkeys(graph, 0)
    for _ in graph:
        for start, end in edges:
            layer[end] = max(layer[end], layer[start] + 1)
    for _ in graph:
        for node in graph:
            before = [layer[start] for start, end in edges if end == node]
            behind = [layer[end] for start, end in edges if start == node]
            if len(behind) > len(before):
                layer[node] = min(behind) - 1
    return layer


def _route(edge: Edge, layer_of: Mapping[str, int]) -> list[Spot]:
    start, end = edge
    bends = range(layer_of[start] + 1, layer_of[end])
    return [
        Spot(layer_of[start], start),
        *(Spot(layer, f"{start} {end}", edge) for layer in bends),
        Spot(layer_of[end], end),
    ]


def _spots(
    graph: Graph, layer_of: Mapping[str, int], routes: Iterable[Sequence[Spot]]
) -> list[list[Spot]]:
    """Return what is in each layer: nodes, and bends where an edge first went."""
    layers: list[list[Spot]] = [[] for _ in range(max(layer_of.values(), default=-1) + 1)]
    for node in graph:
        layers[layer_of[node]].append(Spot(layer_of[node], node))
    for route in routes:
        for bend in route[1:-1]:
            layers[bend.layer].append(bend)
    return layers


Links = Sequence[tuple[Spot, Spot]]


def _neighbours(links: Links) -> tuple[dict[Spot, list[Spot]], dict[Spot, list[Spot]]]:
    before: dict[Spot, list[Spot]] = {}
    behind: dict[Spot, list[Spot]] = {}
    for start, end in links:
        behind.setdefault(start, []).append(end)
        before.setdefault(end, []).append(start)
    return before, behind


def _ordered(layers: Sequence[Sequence[Spot]], links: Links) -> list[list[Spot]]:
    """Order every layer by the middle of its neighbours, to and fro; return the best order seen."""
    now = [list(layer) for layer in layers]
    best, fewest = now, _crossings(now, links)
    before, behind = _neighbours(links)
    for sweep in range(SWEEPS):
        beside, order = (before, 1) if sweep % 2 == 0 else (behind, -1)
        now = [list(layer) for layer in now]
        for layer in now[::order]:
            rank = {spot: float(n) for each in now for n, spot in enumerate(each)}
            middle = {spot: _mean([rank[s] for s in beside.get(spot, [spot])]) for spot in layer}
            layer.sort(key=lambda spot: (middle[spot], rank[spot]))
        crossings = _crossings(now, links)
        if crossings < fewest:
            best, fewest = now, crossings
    return best


def _crossings(layers: Sequence[Sequence[Spot]], links: Links) -> int:
    rank = {spot: number for layer in layers for number, spot in enumerate(layer)}
    ends = [(start.layer, rank[start], rank[end]) for start, end in links]
    return sum(
        a[0] == b[0] and (a[1] - b[1]) * (a[2] - b[2]) < 0
        for number, a in enumerate(ends)
        for b in ends[:number]
    )


def _straightened(layers: Sequence[Sequence[Spot]], links: Links) -> dict[Spot, float]:
    """Return rows that keep each layer's order and gaps, and edges as level as may be."""
    before, behind = _neighbours(links)
    rows = {spot: row for layer in layers for spot, row in zip(layer, _stacked(layer), strict=True)}
    for sweep in range(SWEEPS):
        beside = before if sweep % 2 == 0 else behind
        for layer in layers[:: 1 if sweep % 2 == 0 else -1]:
            wanted = [_mean([rows[s] for s in beside.get(spot, [spot])]) for spot in layer]
            free = [want - at for want, at in zip(wanted, _stacked(layer), strict=True)]
            for spot, offset, at in zip(layer, _rising(free), _stacked(layer), strict=True):
                rows[spot] = offset + at
    least = min(rows.values(), default=0.0)
    return {spot: row - least for spot, row in rows.items()}


def _stacked(layer: Sequence[Spot]) -> list[float]:
    """Return the rows of a layer's spots when nothing is between them, its middle at 0."""
    at, stacked = 0.0, []
    for number, spot in enumerate(layer):
        at += (spot.gap + layer[number - 1].gap) / 2 if number else 0.0
        stacked.append(at)
    return [row - at / 2 for row in stacked]


def _rising(values: Sequence[float]) -> list[float]:
    """Return the rising sequence nearest to `values` in least squares: adjacent violators pool."""
    pools: list[tuple[float, int]] = []
    for value in values:
        pools.append((value, 1))
        while len(pools) > 1 and pools[-2][0] > pools[-1][0]:
            (high, many), (low, few) = pools[-2], pools[-1]
            pools[-2:] = [((high * many + low * few) / (many + few), many + few)]
    return [mean for mean, size in pools for _ in range(size)]


def _mean(values: Sequence[float]) -> float:
    return sum(values) / len(values)
