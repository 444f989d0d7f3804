"""A trace as a tree on a line of time, and what it was that took so long: the critical path.

The critical path is found from the end backwards: of what a span consists of, what ended last, then
what had ended last when that began, and so on, each of them in the same way.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

from folkmoot.core.tracing import Span


@dataclass(slots=True)
class Node:
    """A span and what it consists of, in the order of their beginning, less what is `hidden`."""

    span: Span
    children: list[Node] = field(default_factory=list)
    critical: bool = False
    hidden: int = 0

    @property
    def duration_ms(self) -> int:
        """How long it took."""
        return self.span.ended_at - self.span.began_at


def tree(spans: Sequence[Span]) -> list[Node]:
    """Return the spans that are nobody's child here, each with all that is below it.

    The critical path of each is marked.
    """
    nodes = {span.span_id: Node(span) for span in spans}
    roots: list[Node] = []
    for node in sorted(nodes.values(), key=lambda node: (node.span.began_at, -node.span.ended_at)):
        parent = nodes.get(node.span.parent)
        (roots if parent is None else parent.children).append(node)
    for root in roots:
        _mark(root)
    return roots


def _mark(node: Node) -> None:
    node.critical = True
    until = node.span.ended_at
    for child in sorted(node.children, key=lambda child: child.span.ended_at, reverse=True):
        if child.duration_ms and child.span.ended_at <= until:
            _mark(child)
            until = child.span.began_at


def critical_path(root: Node) -> list[Node]:
    """Return what the root waited for, one after the other, as they followed each other."""
    return [child for child in root.children if child.critical]


def walk(nodes: Sequence[Node], prefix: str = "") -> Iterator[tuple[str, Node]]:
    """Yield every node with the lines that lead to it, as they are drawn before its name."""
    for number, node in enumerate(nodes):
        last = number == len(nodes) - 1
        yield f"{prefix}{'└─ ' if last else '├─ '}", node
        yield from walk(node.children, f"{prefix}{'   ' if last else '│  '}")


def bar(node: Node, begin: int, end: int, width: int) -> str:
    """Return where a node lies between `begin` and `end`, at least one character of it."""
    whole = max(1, end - begin)
    first = min(width - 1, (node.span.began_at - begin) * width // whole)
    last = max(first + 1, -(-(node.span.ended_at - begin) * width // whole))
    return " " * first + "█" * (min(last, width) - first)
