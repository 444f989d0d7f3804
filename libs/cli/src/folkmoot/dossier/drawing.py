"""The requirement graph's heaviest part, as an SVG: who needs whom, how big, under which licence.

Layers go from what nothing needs, on the left, to what everything rests on. A node's area is its
size; its colour is its licence's family.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from html import escape
from math import sqrt

from folkmoot.dossier.models import Analysis, Package

NODES_MAX = 26
"""More cannot be read at a glance."""

LAYER_WIDTH, ROW_HEIGHT, MARGIN = 210, 46, 40
RADIUS_MIN, RADIUS_MAX = 5, 20

COLOURS: Mapping[str, str] = {
    "permissive": "#3a8f5c",
    "weak copyleft": "#c8922b",
    "strong copyleft": "#c0492f",
    "other": "#6c6f9c",
    "unknown": "#8a8a8a",
}

Places = Mapping[str, tuple[float, float]]


def heaviest_part(analysis: Analysis) -> list[Package]:
    """Return the packages to draw: the heaviest trees, until there are enough."""
    by_name = analysis.by_name
    chosen: dict[str, Package] = {}
    for root in sorted(analysis.packages, key=lambda package: -package.closure_bytes):
        if not root.needs:
            continue
        tree = _tree(root.name, by_name)
        room = NODES_MAX - len(chosen)
        new = [name for name in tree if name not in chosen]
        if not new:
            continue
        kept = sorted(new, key=lambda name: (name != root.name, -by_name[name].bytes))[:room]
        chosen |= {name: by_name[name] for name in kept}
        if len(chosen) >= NODES_MAX:
            break
    return list(chosen.values())


def _tree(root: str, by_name: Mapping[str, Package]) -> list[str]:
    reached: dict[str, None] = {root: None}
    waiting = [root]
    while waiting:
        for need in by_name[waiting.pop()].needs:
            if need not in reached:
                reached[need] = None
                waiting.append(need)
    return list(reached)


def draw(analysis: Analysis) -> str:
    """Return the picture as an SVG element, empty if there is nothing to draw."""
    packages = heaviest_part(analysis)
    if not packages:
        return ""
    layers = _layers(packages)
    places = _places(layers)
    width = len(layers) * LAYER_WIDTH + MARGIN
    height = max(len(layer) for layer in layers) * ROW_HEIGHT + 2 * MARGIN
    largest = max(package.bytes for package in packages) or 1
    return "\n".join(
        [
            f'<svg viewBox="0 0 {width} {height}" role="img" '
            'aria-label="Requirement graph: its heaviest part">',
            *_edges(packages, places),
            *(_node(package, places[package.name], largest) for package in packages),
            "</svg>",
        ]
    )


def _layers(packages: Sequence[Package]) -> list[list[Package]]:
    """Return the packages by the longest way to them; a cycle's packages share a layer."""
    names = {package.name for package in packages}
    depth = dict.fromkeys(names, 0)
    for _ in range(len(names)):
        changed = False
        for package in packages:
            for need in package.needs:
                deeper = need in names and depth[need] < depth[package.name] + 1 < len(names)
                if deeper:
                    depth[need] = depth[package.name] + 1
                    changed = True
        if not changed:
            break
    used = sorted(set(depth.values()))
    return _untangled([[p for p in packages if depth[p.name] == level] for level in used])


def _untangled(layers: list[list[Package]]) -> list[list[Package]]:
    """Order each layer by the middle of those that need it (Sugiyama's barycentre, one pass)."""
    ordered = [sorted(layers[0], key=lambda package: -package.closure_bytes)]
    rank = {package.name: float(number) for number, package in enumerate(ordered[0])}
    for layer in layers[1:]:
        users = {p.name: [rank[n] for n in rank if p.name in _needs_of(n, layers)] for p in layer}
        middle = {n: sum(r) / len(r) if r else 99.0 for n, r in users.items()}
        ordered.append(sorted(layer, key=lambda package: (middle[package.name], package.name)))
        rank |= {package.name: float(number) for number, package in enumerate(ordered[-1])}
    return ordered


def _needs_of(name: str, layers: Sequence[Sequence[Package]]) -> Sequence[str]:
    return next(package.needs for layer in layers for package in layer if package.name == name)


def _places(layers: Sequence[Sequence[Package]]) -> dict[str, tuple[float, float]]:
    tallest = max(len(layer) for layer in layers)
    places: dict[str, tuple[float, float]] = {}
    for column, layer in enumerate(layers):
        top = MARGIN + (tallest - len(layer)) * ROW_HEIGHT / 2 + ROW_HEIGHT / 2
        for row, package in enumerate(layer):
            places[package.name] = (MARGIN + column * LAYER_WIDTH, top + row * ROW_HEIGHT)
    return places


def _edges(packages: Sequence[Package], places: Places) -> list[str]:
    return [
        _edge(places[package.name], places[need])
        for package in packages
        for need in package.needs
        if need in places
    ]


def _edge(start: tuple[float, float], end: tuple[float, float]) -> str:
    (x1, y1), (x2, y2) = start, end
    bend = (x1 + x2) / 2
    return f'<path class="edge" d="M{x1:.0f} {y1:.0f} C{bend:.0f} {y1:.0f} {bend:.0f} {y2:.0f} {x2:.0f} {y2:.0f}"/>'  # noqa: E501


def _node(package: Package, place: tuple[float, float], largest: int) -> str:
    x, y = place
    radius = max(RADIUS_MIN, RADIUS_MAX * sqrt(package.bytes / largest))
    name = escape(package.name)
    size = f"{package.bytes / 2**20:.1f} MiB"
    return (
        f"<g><title>{name} {escape(package.version)}: {size}, {escape(package.licence)}</title>"
        f'<circle cx="{x:.0f}" cy="{y:.0f}" r="{radius:.1f}" fill="{COLOURS[package.family]}"/>'
        f'<text x="{x + radius + 5:.0f}" y="{y + 4:.0f}">{name}</text></g>'
    )
