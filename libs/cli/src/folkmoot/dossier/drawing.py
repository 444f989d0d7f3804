"""The requirement graph's heaviest part, as an SVG: who needs whom, how big, under which licence.

On the left is what nothing needs, to its right what it rests on. A node's area is its size; its
colour is its licence's family. The page that shows it has the style.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from html import escape
from itertools import pairwise
from math import sqrt

from folkmoot.dossier.layout import Layout, Spot, layered
from folkmoot.dossier.licences import FAMILIES
from folkmoot.dossier.models import Analysis, Package
from folkmoot.dossier.text import size_text

NODES_MAX = 30
"""More cannot be read at a glance."""

ROW_HEIGHT, COLUMN_GAP, MARGIN = 46, 70, 26
RADIUS_MIN, RADIUS_MAX = 4.0, 24.0
NAME_CHAR_WIDTH, NOTE_CHAR_WIDTH = 7.8, 6.0
"""About the widest that a letter is in the page's type, so that edges start behind labels."""

NOTE_CHARS_MAX = 26
LABEL_GAP = 6

Point = tuple[float, float]


@dataclass(frozen=True)
class Edge:
    """A requirement as drawn. An optional one is of an extra that no package asks for."""

    start: str
    end: str
    optional: bool


@dataclass(frozen=True)
class Picture:
    """The drawing, empty if there is nothing to draw, and which requirements it shows."""

    svg: str
    packages: Sequence[Package]
    edges: Sequence[Edge]


def family_class(family: str) -> str:
    """Return the style class of a licence's family."""
    return f"family-{FAMILIES.index(family)}"


def picture_of(analysis: Analysis) -> Picture:
    """Return the picture of the heaviest part."""
    needs, optional = _links(analysis.packages)
    chosen = _heaviest_part(analysis, needs)
    if not chosen:
        return Picture("", [], [])
    graph = {name: [need for need in needs[name] if need in chosen] for name in chosen}
    layout = layered(graph)
    packages = [analysis.by_name[name] for name in chosen]
    edges = [Edge(*edge, edge in optional) for edge in layout.routes]
    return Picture(_Drawing(packages, edges, layout).svg(), packages, edges)


def _links(packages: Iterable[Package]) -> tuple[dict[str, list[str]], set[tuple[str, str]]]:
    """Return who needs whom, optionally where nobody needs it otherwise, and which are optional."""
    needs = {package.name: list(package.needs) for package in packages}
    optional = {
        (extra.split("[")[0], package.name)
        for package in packages
        if not package.users
        for extra in package.optional_for
    }
    for name, needed in sorted(optional):
        needs[name].append(needed)
    return needs, optional


def _heaviest_part(analysis: Analysis, needs: Mapping[str, Sequence[str]]) -> list[str]:
    """Return the names of the heaviest packages, each with a way to it from what nothing needs."""
    users: dict[str, list[str]] = {name: [] for name in needs}
    for name, needed in needs.items():
        for need in needed:
            users[need].append(name)
    chosen: dict[str, None] = {}
    for package in sorted(analysis.packages, key=lambda each: (-(each.bytes or 0), each.name)):
        if not needs[package.name] and not users[package.name]:
            continue
        way = _way_up(package.name, users, chosen)
        if len(chosen.keys() | set(way)) <= NODES_MAX:
            chosen |= dict.fromkeys(way)
    near = {name: {*needs[name], *users[name]} & chosen.keys() for name in chosen}
    return sorted(name for name in chosen if near[name])


def _way_up(name: str, users: Mapping[str, Sequence[str]], chosen: Iterable[str]) -> list[str]:
    """Return a shortest way from `name` to something chosen, or else to what nothing needs."""
    came_from: dict[str, str | None] = {name: None}
    waiting = deque([name])
    ends = set(chosen) - {name}
    while waiting:
        last = waiting.popleft()
        if last in ends or not users[last]:
            break
        for user in users[last]:
            if user not in came_from:
                came_from[user] = last
                waiting.append(user)
    way: list[str] = []
    step: str | None = last
    while step is not None:
        way.append(step)
        step = came_from[step]
    return way


class _Drawing:
    def __init__(self, packages: Sequence[Package], edges: Sequence[Edge], layout: Layout) -> None:
        self._packages = {package.name: package for package in packages}
        self._edges = edges
        self._layout = layout
        self._largest = max(package.bytes or 0 for package in packages) or 1
        self._widths = [self._column_width(layer) for layer in layout.layers]

    def svg(self) -> str:
        width = MARGIN + RADIUS_MAX + sum(self._widths) + COLUMN_GAP * (len(self._widths) - 1)
        height = 2 * MARGIN + RADIUS_MAX + self._layout.height * ROW_HEIGHT
        return "\n".join(
            [
                f'<svg viewBox="0 0 {width:.0f} {height:.0f}" style="--width:{width:.0f}px" '
                'role="img" aria-label="Requirement graph: its heaviest part">',
                *(self._edge(edge) for edge in self._edges),
                *(self._node(s) for layer in self._layout.layers for s in layer if not s.edge),
                "</svg>",
            ]
        )

    def _radius(self, package: Package) -> float:
        return max(RADIUS_MIN, RADIUS_MAX * sqrt((package.bytes or 0) / self._largest))

    def _width(self, spot: Spot) -> float:
        """Return what is to the right of a node's middle: half of it, and its label."""
        if spot.edge:
            return 0
        package = self._packages[spot.name]
        name, note = len(package.name), len(_note(package))
        label = max(name * NAME_CHAR_WIDTH, note * NOTE_CHAR_WIDTH)
        return self._radius(package) + LABEL_GAP + label

    def _column_width(self, layer: Sequence[Spot]) -> float:
        return max(self._width(spot) for spot in layer)

    def _middle(self, spot: Spot) -> Point:
        left = sum(self._widths[: spot.layer]) + COLUMN_GAP * spot.layer
        rows = self._layout.rows[spot]
        return MARGIN + RADIUS_MAX / 2 + left, MARGIN + RADIUS_MAX / 2 + rows * ROW_HEIGHT

    def _edge(self, edge: Edge) -> str:
        route = self._layout.routes[edge.start, edge.end]
        x, y = self._middle(route[0])
        path = [f"M{x + self._width(route[0]) + 2:.0f} {y:.0f}"]
        for spot, following in pairwise(route):
            path.append(self._curve(spot, following))
        kind = "edge optional" if edge.optional else "edge"
        ends = f'data-start="{escape(edge.start)}" data-end="{escape(edge.end)}"'
        return f'<path class="{kind}" {ends} d="{" ".join(path)}"/>'

    def _curve(self, spot: Spot, following: Spot) -> str:
        """Return the way along a spot's column to its end, and over to the next spot."""
        (x1, y1), (x2, y2) = self._middle(spot), self._middle(following)
        x1 += self._widths[spot.layer]
        if not following.edge:
            x2 -= self._radius(self._packages[following.name]) + 1
        bend = (x1 + x2) / 2
        return f"H{x1:.0f} C{bend:.0f} {y1:.0f} {bend:.0f} {y2:.0f} {x2:.0f} {y2:.0f}"

    def _node(self, spot: Spot) -> str:
        package = self._packages[spot.name]
        (x, y), radius = self._middle(spot), self._radius(package)
        at = x + radius + LABEL_GAP
        about = f"{package.name} {package.version}: {size_text(package.bytes)}, {package.licence}"
        return (
            f'<g class="node {family_class(package.family)}" data-name="{escape(package.name)}">'
            f"<title>{escape(about)}</title>"
            f'<circle cx="{x:.1f}" cy="{y:.1f}" r="{radius:.1f}"/>'
            f'<text x="{at:.1f}" y="{y - 1:.1f}">{escape(package.name)}</text>'
            f'<text class="note" x="{at:.1f}" y="{y + 12:.1f}">{escape(_note(package))}</text></g>'
        )


def _note(package: Package) -> str:
    note = f"{size_text(package.bytes)} · {package.licence}"
    return note if len(note) <= NOTE_CHARS_MAX else f"{note[: NOTE_CHARS_MAX - 1]}…"
