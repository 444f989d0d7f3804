"""A few of the points of `make crash-points`, the same each time, with real processes.

All of them are run on virtual time, see `tests/simulation/test_crash_points.py`.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.crashes import on_file, on_kafka
from tests.crashes.judging import LOGS, WORKER, booked, complaints, points

POINTS_ON_FILE, POINTS_ON_KAFKA = 4, 4


def test_a_process_on_a_file_may_die_anywhere(tmp_path: Path) -> None:
    whole = on_file.run(tmp_path / "whole")
    assert (whole.state, whole.undone) == ("compensated", ("table", "hotel", "flight"))
    assert booked(whole.calls) == set()
    assert set(whole.calls.values()) == {1}
    assert all(entries > 1 for entries in whole.entries.values())
    possible = points(whole)
    for point in possible[3 :: len(possible) // POINTS_ON_FILE]:
        crashed = on_file.run(tmp_path / f"{point}".replace(" ", "-"), point)
        assert complaints(whole, crashed, worker_died=True) == [], point


@pytest.mark.kafka
async def test_who_leads_a_shard_on_kafka_may_die_anywhere(tmp_path: Path) -> None:
    async with on_kafka.running(tmp_path) as platform:
        whole = await platform.run()
        assert whole is not None
        assert whole.undone == ("table", "hotel", "flight")
        possible = points(whole)
        for point in possible[5 :: len(possible) // POINTS_ON_KAFKA]:
            crashed = await platform.run(point)
            assert crashed is not None, f"nobody died {point}"
            worker_died = LOGS[point.log] == WORKER
            assert complaints(whole, crashed, worker_died=worker_died) == [], point
