"""What the saga benchmark makes of what it measured."""

from __future__ import annotations

import xml.etree.ElementTree as ET

import pytest

from bench.sagas.accounting import Account
from bench.sagas.gate import compared, shares
from bench.sagas.goals import goals
from bench.sagas.killing import back_after, rows
from bench.sagas.loops import Load, Outcome
from bench.sagas.plot import plot
from bench.sagas.points import Results
from bench.sagas.programs.bare_saga import rehearse
from bench.sagas.reporting import rows as all_rows


def measured(*figures: tuple[str, Load, float, float]) -> Results:
    """Return results of these contenders and loads, with a rate and a latency in ms for each."""
    results = Results()
    for name, load, per_second, latency_ms in figures:
        ended = [(number + 1) / per_second for number in range(100)]
        outcome = Outcome(0.0, ended[-1], ended, [latency_ms] * 100)
        used = Account({"Kafka": 0.1, "orchestrator": 0.15, "client": 0.05}, 100_000, 5_000, 1_000)
        results.point(name, load).take(outcome, used)
    return results


AT_64, AT_512 = Load("three", 1.0, 64), Load("three", 1.0, 512)


def test_a_goal_is_met_or_not_beside_the_peer() -> None:
    results = measured(
        ("Folkmoot", AT_64, 1_500, 20), ("Restate", AT_64, 140, 300), ("bare loop", AT_64, 4_000, 9)
    )
    verdicts = {row.name: row.met for row in goals(results)}
    assert verdicts == {
        "p50 at 64 in flight": True,
        "sagas at 64 in flight": True,
        "processor at 64 in flight, client included, brokers not": True,
        "share of the bare loop, 64 in flight": False,
    }


def test_processor_time_counts_the_client_but_no_broker() -> None:
    row = goals(measured(("Folkmoot", AT_64, 1_500, 20)))[0]
    assert row.value == pytest.approx(2.0)  # (0.15 + 0.05) s over 100 sagas


def test_what_failed_is_a_row_of_its_own() -> None:
    results = measured(("Folkmoot", AT_64, 1_500, 20))
    results.point("Restate", AT_64).trouble = "Traceback\nthe driver has died"
    results.not_measured["DBOS on PostgreSQL"] = "PostgreSQL is not installed"
    missing = {row.name: row.peer for row in all_rows(results) if row.unit == "not measured"}
    assert missing == {
        "Restate: three steps, 64 in flight": "the driver has died",
        "DBOS on PostgreSQL": "PostgreSQL is not installed",
    }


def test_the_gate_fails_on_a_loss_of_more_than_15_percent() -> None:
    found = shares(measured(("Folkmoot", AT_64, 1_700, 9), ("bare loop", AT_64, 2_000, 9)))
    assert found["throughput, 64 in flight"] == pytest.approx(0.85)
    fine, slower, gone = (
        compared(found, {name: before})[0].met
        for name, before in (
            ("throughput, 64 in flight", 0.99),
            ("throughput, 64 in flight", 1.01),
            ("throughput, 512 in flight", 0.5),
        )
    )
    assert (fine, slower, gone) == (True, False, False)


def test_the_plot_has_a_line_for_each_contender_and_a_point_for_each_load() -> None:
    results = measured(
        ("Folkmoot", AT_64, 1_500, 20), ("Folkmoot", AT_512, 3_000, 90), ("A & B", AT_64, 140, 300)
    )
    picture = ET.fromstring(plot(results))
    svg = "{http://www.w3.org/2000/svg}"
    lines = {
        str(group.findtext(f"{svg}title")): len(group.findall(f"{svg}circle"))
        for group in picture.iter(f"{svg}g")
    }
    assert lines == {"Folkmoot": 2, "A & B": 1}
    heights = [float(circle.attrib["cy"]) for circle in picture.iter(f"{svg}circle")]
    assert heights[0] > heights[1], "a longer latency is drawn higher"


def test_throughput_is_back_when_as_many_end_in_a_second_as_before() -> None:
    steady = [number / 100 for number in range(1, 501)]
    again = [6.5 + number / 100 for number in range(1, 501)]
    outcome = Outcome(0.0, 12.0, [*steady, *again], [100.0] * 1_000)
    assert back_after(outcome, 5.0) == pytest.approx(1.4, abs=0.06)


def test_those_in_flight_at_the_kill_are_the_affected() -> None:
    outcome = Outcome(0.0, 12.0, [4.9, 5.1, 7.0, 9.0], [200.0, 300.0, 2_900.0, 100.0])
    row = rows(outcome, 5.0)[1]
    assert (row.value, row.n, row.met) == (2_900.0, 2, False)


@pytest.mark.parametrize("whole", [True, False])
@pytest.mark.parametrize(("shape", "calls"), [("three", 3), ("undo", 9), ("wide", 20)])
def test_the_bare_loop_makes_the_hops_of_a_saga(shape: str, calls: int, whole: bool) -> None:
    task = {"kind": "task", "saga_id": "s", "team": "bench", "n": 7, "shape": shape, "width": 20}
    got, ended = rehearse(task, whole)
    assert ended["state"] == ("compensated" if shape == "undo" else "completed")
    if shape == "three":
        assert ended["result"] == {"s0": 8, "s1": 9, "s2": 10}
    planned = 1 if whole else 0
    assert got["agent"] == calls
    assert got["team"] == planned
    assert got["breaker"] == (2 * calls if whole else 0)
    assert got["orchestrator"] == 1 + planned + calls
