"""What the benchmarks make of their samples."""

from __future__ import annotations

import pytest

from bench.figures import Figure, percentile, show


@pytest.mark.parametrize(
    ("count", "median", "p99"), [(1, 1, 1), (2, 1, 2), (40, 20, 40), (100, 50, 99), (200, 100, 198)]
)
def test_percentiles_are_samples(count: int, median: int, p99: int) -> None:
    samples = [float(n) for n in range(count, 0, -1)]
    assert (percentile(samples, 0.5), percentile(samples, 0.99)) == (median, p99)


def test_a_figure_meets_its_goal_only_if_both_hold() -> None:
    good = Figure("good", "ms", median_max=2, p99_max=3, samples=[1, 2, 3])
    slow_tail = Figure("slow tail", "ms", median_max=2, p99_max=3, samples=[1, 2, 4])
    free = Figure("free", "ms", samples=[9])
    assert [figure.cells()[-1] for figure in (good, slow_tail, free)] == ["yes", "no", ""]
    assert [row.met for row in slow_tail.rows()] == [True, False]


def test_rows_name_the_peers_that_were_measured_and_follow_with_theirs() -> None:
    peer, absent = Figure("peer", samples=[7, 8]), Figure("absent")
    rows = Figure("ours", peers=[peer, absent], samples=[5]).rows()
    assert [(row.name, row.value, row.peer) for row in rows] == [
        ("ours: median", 5, "peer: 7"),
        ("ours: 99th percentile", 5, "peer: 8"),
        ("peer: median", 7, ""),
        ("peer: 99th percentile", 8, ""),
    ]


def test_the_table_shows_a_peer_below_its_figure(capsys: pytest.CaptureFixture[str]) -> None:
    show("Title", [Figure("ours", peers=[Figure("peer", samples=[7])], samples=[5])])
    lines = capsys.readouterr().out.splitlines()
    ours = next(n for n, line in enumerate(lines) if "ours" in line)
    assert "peer" in lines[ours + 1]
