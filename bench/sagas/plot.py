"""Throughput against latency as an SVG: a line for each contender, a point for each closed loop."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from html import escape

from bench.sagas.points import Point, Results

WIDTH, HEIGHT = 760, 460
LEFT, RIGHT, TOP, BOTTOM = 70, 190, 50, 60
COLOURS = ("#1b6ca8", "#555555", "#999999", "#3aa0d8", "#c0392b", "#27803b", "#8e6bbf")

Scale = Callable[[float], float]


def plot(results: Results) -> str:
    """Return the picture of three steps, or an empty one if nothing of it was measured."""
    lines = _lines(results)
    points = [point for line in lines.values() for point in line]
    if not points:
        return _document([])
    rates, latencies = [p.per_second for p in points], [p.at(0.5) for p in points]
    x = _scale(rates, LEFT, WIDTH - RIGHT)
    y = _scale([*latencies, *(p.at(0.99) for p in points)], HEIGHT - BOTTOM, TOP)
    parts = [*_axes(x, y, rates, latencies)]
    for colour, (name, line) in zip(COLOURS, lines.items(), strict=False):
        parts += _line(name, line, colour, x, y)
    parts += _legend(list(lines))
    return _document(parts)


def _lines(results: Results) -> dict[str, list[Point]]:
    lines: dict[str, list[Point]] = {}
    for point in results.measured():
        if point.load.shape == "three" and point.load.in_flight:
            lines.setdefault(point.contender, []).append(point)
    return lines


def _scale(values: Sequence[float], low: float, high: float) -> Scale:
    """Return where a value lies on an axis, by its logarithm, in whole decades."""
    least, most = math.floor(math.log10(min(values))), math.ceil(math.log10(max(values)))
    most = max(most, least + 1)
    return lambda value: low + (high - low) * (math.log10(value) - least) / (most - least)


def _axes(x: Scale, y: Scale, rates: Sequence[float], latencies: Sequence[float]) -> Iterator[str]:
    bottom, right = HEIGHT - BOTTOM, WIDTH - RIGHT
    for value in _decades(rates):
        if LEFT - 1 <= x(value) <= right + 1:
            yield f'<line x1="{x(value):.1f}" y1="{TOP}" x2="{x(value):.1f}" y2="{bottom}"/>'
            yield _text(x(value), bottom + 18, f"{value:,g}", "middle")
    for value in _decades(latencies):
        if TOP - 1 <= y(value) <= bottom + 1:
            yield f'<line x1="{LEFT}" y1="{y(value):.1f}" x2="{right}" y2="{y(value):.1f}"/>'
            yield _text(LEFT - 8, y(value) + 4, f"{value:,g}", "end")
    yield _text((LEFT + right) / 2, HEIGHT - 16, "sagas a second", "middle")
    yield _text(
        LEFT, TOP - 12, "latency in ms: median, with a bar up to the 99th percentile", "start"
    )
    yield _text(LEFT, TOP - 30, "Three steps, closed loop; numbers are sagas in flight", "start")


def _decades(values: Sequence[float]) -> list[float]:
    low, high = math.floor(math.log10(min(values))), math.ceil(math.log10(max(values)))
    return [10.0**power for power in range(low, high + 2)]


def _line(name: str, line: Sequence[Point], colour: str, x: Scale, y: Scale) -> Iterator[str]:
    spots = [(x(point.per_second), y(point.at(0.5))) for point in line]
    path = " ".join(f"{across:.1f},{up:.1f}" for across, up in spots)
    yield f'<g stroke="{colour}" fill="{colour}"><title>{escape(name)}</title>'
    yield f'<polyline points="{path}" fill="none" stroke-width="2"/>'
    for point, (across, up) in zip(line, spots, strict=True):
        top = y(point.at(0.99))
        yield f'<line x1="{across:.1f}" y1="{up:.1f}" x2="{across:.1f}" y2="{top:.1f}"/>'
        yield f'<circle cx="{across:.1f}" cy="{up:.1f}" r="4"/>'
        yield _text(across + 6, up - 6, str(point.load.in_flight), "start")
    yield "</g>"


def _legend(names: Sequence[str]) -> Iterator[str]:
    for place, (colour, name) in enumerate(zip(COLOURS, names, strict=False)):
        height = TOP + 18 * place
        yield f'<circle cx="{WIDTH - RIGHT + 24}" cy="{height}" r="5" fill="{colour}"/>'
        yield _text(WIDTH - RIGHT + 36, height + 4, name, "start")


def _text(across: float, up: float, words: str, anchor: str) -> str:
    where = f'x="{across:.1f}" y="{up:.1f}" text-anchor="{anchor}"'
    return f'<text {where} stroke="none">{escape(words)}</text>'


def _document(parts: Sequence[str]) -> str:
    opening = (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" '
        'font-family="sans-serif" font-size="12" stroke="#cccccc" fill="#333333">'
    )
    background = f'<rect width="{WIDTH}" height="{HEIGHT}" fill="#ffffff" stroke="none"/>'
    return "\n".join([opening, background, *parts, "</svg>", ""])
