"""`folkmoot trace`: where the time of a saga went."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, replace
from typing import Annotated, Any

import typer
from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from folkmoot.cli.connection import BusOption, JsonOption, run
from folkmoot.cli.output import moment, show
from folkmoot.cli.retelling import Told, retell
from folkmoot.cli.timeline import Node, bar, critical_path, tree, walk
from folkmoot.core.tracing import schema
from folkmoot.runtime.clock import SystemClock

BAR_WIDTH = 32
MS_PER_S = 1000


def trace(
    saga_id: Annotated[str, typer.Argument(metavar="SAGA")],
    calls: Annotated[
        bool, typer.Option("--calls", help="Show each journaled call, and not only how many.")
    ] = False,
    bus: BusOption = None,
    as_json: JsonOption = False,
) -> None:
    """Show a saga's trace: every attempt and run, when and for how long, and the critical path.

    It is made from the saga's history; no collector is needed, and any past saga has one.
    """
    now = SystemClock().now()
    told = run(lambda connected: retell(connected, saga_id, now), bus)
    roots = tree(told.spans)
    if as_json:
        show(_as_json(roots, told), True, str)
    else:
        show(roots, False, lambda nodes: _drawn(nodes, told, calls))


def _as_json(roots: Sequence[Node], told: Told) -> list[dict[str, Any]]:
    return [
        asdict(node.span)
        | {
            "trace_id": f"{node.span.trace_id:032x}",
            "span_id": f"{node.span.span_id:016x}",
            "parent": f"{node.span.parent:016x}" if node.span.parent else None,
            "links": [f"{link.trace_id:032x}/{link.span_id:016x}" for link in node.span.links],
            "open": node.span.span_id in told.open,
            "critical": node.critical,
        }
        for _, node in walk(roots)
    ]


def _drawn(roots: Sequence[Node], told: Told, calls: bool) -> RenderableType:
    return Group(*(part for root in roots for part in _picture(root, told, calls)))


def _picture(root: Node, told: Told, calls: bool) -> list[RenderableType]:
    span = root.span
    state = span.attributes.get(schema.SAGA_STATE, "")
    head = Text.assemble(
        (span.name, "bold"),
        f"  {state}  {moment(span.began_at)}  {duration(root.duration_ms)}",
        (f"  trace {span.trace_id:032x}", "dim"),
    )
    return [head, _table(root, told, calls), _summary(root)]


def _table(root: Node, told: Told, calls: bool) -> Table:
    made = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), show_header=False)
    for justify in ("left", "right", "right", "left"):
        made.add_column(justify=justify, no_wrap=True)
    begin, end = root.span.began_at, root.span.ended_at
    for lines, node in walk(root.children if calls else _without_calls(root)):
        running = node.span.span_id in told.open
        made.add_row(
            Text.assemble((lines, "dim"), (_label(node), _style(node, running))),
            f"+{duration(node.span.began_at - begin)}",
            Text(f"{duration(node.duration_ms)}{' …' if running else ''}"),
            Text(bar(node, begin, end, BAR_WIDTH), _style(node, running)),
        )
    return made


def _without_calls(root: Node) -> list[Node]:
    """Return what the root consists of, where runs say how many calls they journaled instead."""
    shown = []
    for node in root.children:
        inner = [each for each in _without_calls(node) if not _is_call(each)]
        shown.append(replace(node, children=inner, hidden=len(node.children) - len(inner)))
    return shown


def _is_call(node: Node) -> bool:
    return node.span.name.startswith("call ")


def _label(node: Node) -> str:
    said, label = node.span.attributes, node.span.name
    if node.span.kind == "producer" and said[schema.ATTEMPT] != 1:
        label += f", attempt {said[schema.ATTEMPT]}"
    if node.span.kind == "producer" and str(said[schema.STEP_ID]) not in label:
        label += f" ({said[schema.STEP_ID]})"
    if said.get(schema.RUN, 1) != 1:
        label += f", run {said[schema.RUN]}"
    if node.hidden:
        label += f", {node.hidden} calls journaled"
    reasons = [node.span.error, *(each.name for each in node.span.moments)]
    told = " ".join(reason for reason in reasons if reason)
    return f"{label}: {told}" if told else label


def _style(node: Node, running: bool) -> str:
    colour = "red" if node.span.error else "cyan" if running else "green"
    return f"bold {colour}" if node.critical else f"dim {colour}"


def _summary(root: Node) -> Text:
    path = critical_path(root)
    parts = " → ".join(f"{node.span.name} {duration(node.duration_ms)}" for node in path)
    between = root.duration_ms - sum(node.duration_ms for node in path)
    return Text(f"critical path: {parts or 'nothing'}; between them {duration(between)}", "bold")


def duration(ms: int) -> str:
    """Return a duration as people say it."""
    if ms < MS_PER_S:
        return f"{ms} ms"
    if ms < 100 * MS_PER_S:
        return f"{ms / MS_PER_S:.2f} s"
    minutes, seconds = divmod(ms // MS_PER_S, 60)
    return (
        f"{minutes // 60} h {minutes % 60} min" if minutes >= 60 else f"{minutes} min {seconds} s"
    )
