"""What a saga waited for is found from its end backwards, and drawn where it happened."""

from __future__ import annotations

import pytest

from folkmoot.cli.timeline import bar, critical_path, tree, walk
from folkmoot.cli.trace import duration
from folkmoot.core.tracing import Span


def span(name: str, number: int, parent: int, began_at: int, ended_at: int) -> Span:
    return Span(name, 7, number, parent, began_at, ended_at)


SAGA = [
    span("saga", 1, 0, 0, 100),
    span("plan", 2, 1, 0, 10),
    span("quick", 3, 1, 10, 30),
    span("slow", 4, 1, 10, 80),
    span("its run", 5, 4, 20, 75),
    span("a moment", 6, 4, 80, 80),
    span("aggregate", 7, 1, 80, 95),
]


def test_the_critical_path_is_what_the_saga_waited_for() -> None:
    [root] = tree(SAGA)
    assert [node.span.name for node in critical_path(root)] == ["plan", "slow", "aggregate"]
    assert [node.span.name for _, node in walk([root]) if node.critical] == [
        "saga",
        "plan",
        "slow",
        "its run",
        "aggregate",
    ]


def test_of_two_side_by_side_only_what_ended_last_is_critical() -> None:
    [root] = tree([*SAGA[:2], span("a", 3, 1, 10, 40), span("b", 4, 1, 20, 60)])
    assert [node.span.name for node in critical_path(root)] == ["plan", "b"]


def test_a_tree_is_drawn_with_lines_to_each_child() -> None:
    [root] = tree(SAGA)
    assert [f"{lines}{node.span.name}" for lines, node in walk(root.children)] == [
        "├─ plan",
        "├─ slow",
        "│  ├─ its run",
        "│  └─ a moment",
        "├─ quick",
        "└─ aggregate",
    ]


def test_spans_whose_parent_is_elsewhere_stand_at_the_top() -> None:
    assert [node.span.name for node in tree(SAGA[1:])] == ["plan", "slow", "quick", "aggregate"]


def test_bars_lie_where_their_time_was_and_are_never_empty() -> None:
    [root] = tree(SAGA)
    bars = {node.span.name: bar(node, 0, 100, 10) for _, node in walk([root])}
    assert bars["saga"] == "█" * 10
    assert bars["slow"] == " █" + "█" * 6
    assert bars["a moment"] == " " * 8 + "█"


@pytest.mark.parametrize(
    ("ms", "said"),
    [
        (0, "0 ms"),
        (999, "999 ms"),
        (1_500, "1.50 s"),
        (150_000, "2 min 30 s"),
        (7_260_000, "2 h 1 min"),
    ],
)
def test_durations_are_said_as_people_do(ms: int, said: str) -> None:
    assert duration(ms) == said
