"""The trap springs where it was set, once, and counts what is there; the judge convicts."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from pathlib import Path

import pytest

from tests.crashes.judging import LOGS, Ran, complaints, points
from tests.crashes.striking import Point, Trap

WHOLE = Ran(
    "compensated",
    "table",
    ("table", "hotel", "flight"),
    Counter({"look": 1, "book hotel": 1}),
    dict.fromkeys(LOGS, 2),
    1.0,
)


def test_every_entry_has_a_point_before_and_one_after_it() -> None:
    found = points(WHOLE)
    assert len(found) == len(set(found)) == len(LOGS) * 2 * 2
    assert {point.entry for point in found} == {1, 2}


@pytest.mark.parametrize(
    ("crashed", "worker_died", "complaint"),
    [
        (replace(WHOLE, state="completed"), True, "state is 'completed'"),
        (replace(WHOLE, undone=("hotel", "table", "flight")), True, "undone is"),
        (replace(WHOLE, calls=Counter({"look": 1})), True, "calls were"),
        (replace(WHOLE, calls=WHOLE.calls + Counter({"look": 1})), False, "1 calls too many"),
        (replace(WHOLE, calls=WHOLE.calls + Counter({"look": 2})), True, "2 calls too many"),
    ],
)
def test_a_run_that_is_otherwise_is_told(crashed: Ran, worker_died: bool, complaint: str) -> None:
    (found,) = complaints(WHOLE, crashed, worker_died=worker_died)
    assert complaint in found


def test_the_call_in_flight_may_run_again_when_its_process_dies() -> None:
    crashed = replace(WHOLE, calls=WHOLE.calls + Counter({"look": 1}))
    assert complaints(WHOLE, crashed, worker_died=True) == []


def test_entries_are_counted_for_the_saga_that_is_watched(tmp_path: Path) -> None:
    trap = Trap(tmp_path)
    trap.watch("s1", Point("a.log", 3, before=True))
    trap.count("a.log", 2)
    assert (trap.entries("a.log"), trap.entries("b.log")) == (2, 0)
    assert trap.watched() == (b"s1", Point("a.log", 3, before=True))
    trap.watch("s2")
    assert trap.entries("a.log") == 0
    assert trap.watched() == (b"s2", None)
    assert not trap.sprung
