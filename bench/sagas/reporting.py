"""What was measured, as tables for people and as rows for programs."""

from __future__ import annotations

from collections.abc import Sequence

from rich.console import Console
from rich.table import Table

from bench.rows import Row
from bench.sagas.loops import Load
from bench.sagas.points import Point, Results

SHAPES = {"three": "three steps", "undo": "five steps, compensated", "wide": "fan-out"}


def label(load: Load) -> str:
    """Return what a load is, for people."""
    shape = SHAPES[load.shape] + (f" of {load.width:,}" if load.width > 1 else "")
    if load.per_second:
        return f"{shape}, {number(load.per_second)}/s open"
    return shape if load.shape == "wide" else f"{shape}, {load.in_flight} in flight"


def number(value: float | None) -> str:
    """Return a figure with three digits that count."""
    if value is None:
        return ""
    return f"{value:,.0f}" if value >= 100 else f"{value:,.3g}"


def show(results: Results) -> None:
    """Print a table of speed and one of costs."""
    console = Console(width=170)
    loads = list(dict.fromkeys(point.load for point in results.measured()))
    console.print(_speed(results, loads))
    for shape in dict.fromkeys(load.shape for load in loads):
        console.print(_costs(results, shape))
    console.print(_idling(results))
    for point in results.points.values():
        if point.trouble:
            console.print(f"{point.contender}, {label(point.load)}: {point.trouble}", markup=False)


def _speed(results: Results, loads: Sequence[Load]) -> Table:
    table = _table(
        "Speed", "load", "contender", "sagas/s", "rounds", "p50 ms", "p99 ms", "p99.9 ms"
    )
    for load in loads:
        for point in results.measured():
            if point.load == load:
                table.add_row(label(load), point.contender, *_speeds(point))
        table.add_section()
    return table


def _speeds(point: Point) -> list[str]:
    rounds = " ".join(number(rate) for rate in point.rates)
    latencies = (point.at(0.5), point.at(0.99), point.tail_ms)
    return [number(point.per_second), rounds, *map(number, latencies)]


def _costs(results: Results, shape: str) -> Table:
    headings = ("CPU ms/saga", "of it without broker and client", "by process")
    name = f"Costs: {SHAPES[shape]}"
    table = _table(name, "load", "contender", *headings, "wire kB", "disk kB", "log kB", "sagas")
    for point in results.measured():
        if point.load.shape == shape:
            names = sorted(point.processor_s, key=lambda each: -point.processor_s[each])
            parts = ", ".join(f"{each} {number(point.processor_ms(each))}" for each in names)
            processor = (number(point.processor_ms()), number(point.own_processor_ms), parts)
            totals = (point.wire_bytes, point.disk_bytes, point.log_bytes)
            sizes = [number(point.each(total) / 1e3) if total else "" for total in totals]
            row = (label(point.load), point.contender, *processor, *sizes)
            table.add_row(*row, str(point.sagas))
    return table


def _idling(results: Results) -> Table:
    table = _table("At rest", "contender", "% of a processor", "memory MB", "by process")
    for name, shares in results.idle.items():
        memory = results.memory_mb.get(name, {})
        parts = ", ".join(f"{each} {number(size)}" for each, size in memory.items())
        share = 100 * sum(shares) / len(shares)
        table.add_row(name, number(share), number(sum(memory.values())), parts)
    return table


def _table(title: str, *headings: str) -> Table:
    table = Table(title=title, title_justify="left")
    for heading in headings:
        left = heading in ("load", "contender", "by process", "rounds")
        table.add_column(heading, justify="left" if left else "right")
    return table


def rows(results: Results) -> list[Row]:
    """Return the rows of all points, and of what could not be measured."""
    made = [row for point in results.points.values() for row in _rows(point)]
    made += [missing(name, reason) for name, reason in results.not_measured.items()]
    for name, sizes in results.memory_mb.items():
        made += [Row(f"{name}: memory of {each}", size, "MB") for each, size in sizes.items()]
    for name, shares in results.idle.items():
        share = 100 * sum(shares) / len(shares)
        made.append(Row(f"{name}: at rest", share, "% of a processor", n=len(shares)))
    return made


def missing(name: str, reason: str) -> Row:
    """Return the row of what could not be measured."""
    return Row(name, 0.0, "not measured", peer=reason.splitlines()[-1], n=0)


def _rows(point: Point) -> list[Row]:
    name = f"{point.contender}: {label(point.load)}"
    made = [missing(name, point.trouble)] if point.trouble else []
    if not point.sagas:
        return made
    figures: list[tuple[str, float | None, str]] = [
        ("", point.per_second, "sagas/s"),
        (": median", point.at(0.5), "ms"),
        (": 99th percentile", point.at(0.99), "ms"),
        (": 99.9th percentile", point.tail_ms, "ms"),
        (": processor", point.processor_ms(), "ms/saga"),
        (": processor without broker and client", point.own_processor_ms, "ms/saga"),
        *(
            (f": processor of {each}", point.processor_ms(each), "ms/saga")
            for each in point.processor_s
        ),
        (": on the wire", point.each(point.wire_bytes), "bytes/saga"),
        (": written to disk", point.each(point.disk_bytes), "bytes/saga"),
        (": in the log", point.each(point.log_bytes) if point.log_bytes else None, "bytes/saga"),
    ]
    measured = [(what, value, unit) for what, value, unit in figures if value is not None]
    return made + [Row(name + what, value, unit, n=point.sagas) for what, value, unit in measured]
