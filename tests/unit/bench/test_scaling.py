"""The model of shards agrees with what is known of queues in closed form."""

from __future__ import annotations

import pytest

from bench.sagas.scaling import Costs, demands, read_costs, scaled, throughput


def test_one_station_does_what_its_processor_can() -> None:
    assert throughput([5.0], 0, 64, processors=1) == pytest.approx(200)


def test_one_saga_at_a_time_takes_the_sum() -> None:
    assert throughput([5.0, 3.0], 2.0, 1, processors=1) == pytest.approx(100)
    assert throughput([5.0, 3.0], 2.0, 1, processors=2) == pytest.approx(100)


def test_balanced_stations_have_their_closed_form() -> None:
    for stations, sagas in ((2, 1), (2, 10), (4, 64)):
        expected = 1000 * sagas / (5.0 * (stations + sagas - 1))
        assert throughput([5.0] * stations, 0, sagas, processors=1) == pytest.approx(expected)


def test_the_index_is_not_divided() -> None:
    costs = Costs(shared_ms=12.0, index_ms=2.0, waiting_ms=0)
    assert demands(costs, 1) == [14.0]
    assert demands(costs, 4) == [4.0, 4.0, 3.0, 3.0]
    assert demands(Costs(12.0, 0, 0), 3) == [4.0, 4.0, 4.0]


def test_without_an_index_it_is_linear_and_with_a_dear_one_it_is_not() -> None:
    assert all(row.met for row in scaled(Costs(12.0, 0.0, 40.0)))
    assert [row.met for row in scaled(Costs(12.0, 12.0, 40.0))] == [True, True, False]


def test_costs_are_what_was_measured() -> None:
    parts = ("saga-orchestrator", "breaker-proxy", "agent-worker", "election", "client", "Kafka")
    load = "Folkmoot: three steps, 64 in flight: processor of"
    rows = [{"name": f"{load} {part}", "value": 1.0} for part in (*parts, "NATS")]
    rows.append({"name": f"{load} event-store", "value": 2.0})
    rows.append({"name": "Folkmoot: three steps, 1 in flight: median", "value": 50.0})
    assert read_costs(rows) == Costs(7.0, 2.0, 41.0)
    with pytest.raises(KeyError, match="event-store"):
        read_costs([row for row in rows if "event-store" not in str(row["name"])])
