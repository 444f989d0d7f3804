"""Draws a view for a terminal: who leads, where each step is, what is being undone."""

from __future__ import annotations

from collections.abc import Mapping

from rich.console import Group, RenderableType
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from folkmoot.cli.demo.view import StepView, View

ROWS_MAX = 18
"""Steps listed one by one; a longer plan is summed up, so that the picture fits a terminal."""

NOTE_CHARS_MAX = 60
HEADINGS = ("", "step", "agent", "state", "on", "attempt", "runs")

SYMBOLS: Mapping[str, tuple[str, str]] = {
    "waiting": ("·", "dim"),
    "scheduled": ("○", "cyan"),
    "running": ("●", "bold cyan"),
    "retrying": ("↻", "yellow"),
    "deferred": ("‖", "yellow"),
    "succeeded": ("✓", "green"),
    "failed": ("✗", "bold red"),
    "compensating": ("↶", "yellow"),
    "compensated": ("↶", "magenta"),
}

STATE_STYLE: Mapping[str, str] = {
    "submitted": "dim",
    "running": "cyan",
    "completed": "bold green",
    "compensating": "bold yellow",
    "compensated": "bold magenta",
    "failed": "bold red",
}


def draw(view: View, counters: Mapping[str, int], notice: str = "") -> RenderableType:
    """Return the picture of `view`. `counters` are what the team shares; `notice` is news."""
    parts: list[RenderableType] = [_headline(view), _progress(view), _steps(view)]
    if view.breakers:
        parts.append(_breakers(view))
    if counters:
        parts.append(_counters(counters))
    if view.compensations:
        parts.append(Text(f"undone, in this order: {' → '.join(view.compensations)}", "magenta"))
    if notice:
        parts.append(Text(notice, "bold yellow"))
    return Group(*parts)


def _headline(view: View) -> Text:
    text = Text()
    text.append("Folkmoot ", "bold")
    text.append(f"team {view.team}  ")
    text.append(view.state, STATE_STYLE.get(view.state, "bold"))
    leader = view.leader
    if leader is None:
        text.append("   no leader yet", "dim")
    elif leader.member is None:
        text.append(f"   no leader ({leader.reason})", "red")
    else:
        text.append("   leader ")
        text.append(short(leader.member), "bold")
        text.append(f", epoch {leader.epoch} ({leader.reason})", "dim")
    return text


def short(member: str) -> str:
    """Return a member's name without what tells its incarnations apart."""
    return member.rsplit("-", 2)[0] if member.count("-") >= 2 else member


def _progress(view: View) -> RenderableType:
    done = sum(step.state == "succeeded" for step in view.steps.values())
    total = max(len(view.steps), 1)
    row = Table.grid(padding=(0, 1))
    row.add_row(ProgressBar(total=total, completed=done, width=40), f"{done} of {len(view.steps)}")
    return row


def _steps(view: View) -> Table:
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0))
    steps = list(view.steps.values())
    widest = max((len(step.id) for step in steps), default=4)
    for heading, width in zip(HEADINGS, (1, widest, 10, 12, 8, 7, 4), strict=False):
        table.add_column(heading, header_style="dim", no_wrap=True, min_width=width)
    table.add_column("", no_wrap=True, overflow="ellipsis")
    shown = steps if len(steps) <= ROWS_MAX else _most_telling(steps)
    for step in shown:
        _add_row(table, step)
    if len(shown) < len(steps):
        table.add_row("", f"… and {len(steps) - len(shown)} more", style="dim")
    return table


def _most_telling(steps: list[StepView]) -> list[StepView]:
    """Return the steps in which something happens, in the plan's order, as many as fit."""
    moving = [step for step in steps if step.state not in ("waiting", "succeeded")]
    kept = set(id(step) for step in (moving + steps)[:ROWS_MAX])
    return [step for step in steps if id(step) in kept][:ROWS_MAX]


def _add_row(table: Table, step: StepView) -> None:
    symbol, style = SYMBOLS.get(step.state, ("?", ""))
    table.add_row(
        Text(symbol, style),
        step.id,
        Text(step.agent, "dim"),
        Text(step.state, style),
        Text(short(step.member), "dim"),
        str(step.attempts or ""),
        str(step.runs or ""),
        Text(step.note[:NOTE_CHARS_MAX], "dim"),
    )


def _breakers(view: View) -> Text:
    text = Text("breakers  ")
    for target, breaker in sorted(view.breakers.items()):
        style = {"open": "bold red", "half-open": "yellow"}.get(breaker.state, "green")
        text.append(f"{target} ")
        text.append(breaker.state, style)
        text.append(f" ({' → '.join(breaker.history[-6:])})  ", "dim")
    return text


def _counters(counters: Mapping[str, int]) -> Text:
    text = Text("knowledge ")
    for name, value in sorted(counters.items()):
        text.append(f"{name} ", "dim")
        text.append(f"{value:,}  ", "bold")
    return text
