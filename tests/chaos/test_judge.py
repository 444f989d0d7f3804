"""The judge, on planted histories: it acquits the good one and convicts each bad one."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pytest

from tests.chaos.agents import NEEDS, Order
from tests.chaos.conftest import Make
from tests.chaos.evidence import Evidence
from tests.chaos.judge import judge
from tests.chaos.ledger import Effect
from tests.chaos.load import Submitted

APPENDED = {"r1", "r2"}
STRANGER = Effect("u", "charge", "do", "u/charge/do", 0, 1, 1, "m")
SUBMITTED = {
    "s": Submitted("s", Order(number=0), cancelled=False),
    "t": Submitted("t", Order(number=1, doomed=True), cancelled=False),
}


@pytest.fixture
def good(effect: Make) -> Evidence:
    """A saga that completed, and one that was undone from its third step."""
    done = [effect(step) for step in (*NEEDS, "aggregate")]
    begun = [effect(step, saga_id="t") for step in ("reserve", "charge", "notify")]
    undone = [effect(step, "undo", "t") for step in ("ship", "notify", "charge", "reserve")]
    found = Evidence([*done, *begun, *undone])
    for saga_id, end in (("s", "completed"), ("t", "compensated")):
        found.take_entry([_event("plan-recorded", saga_id), _event(f"saga-{end}", saga_id)])
        found.take_result({"source": "o", "id": saga_id, "data": _told(saga_id, end)})
    for number in (1, 2):
        found.take_append([_appended(f"r{number}", number)])
    found.tries = found.effects
    return found


def _event(kind: str, saga_id: str) -> dict[str, object]:
    return {"type": f"folkmoot.{kind}.v1", "data": {"saga_id": saga_id}}


def _appended(request: str, version: int) -> dict[str, object]:
    data = {"stream": "n", "request_id": request, "first_version": version, "events": ["e"]}
    return {"type": "folkmoot.events-appended.v1", "data": data}


def _told(saga_id: str, end: str) -> dict[str, str]:
    return {"saga_id": saga_id, "state": end}


def test_a_good_history_is_acquitted(good: Evidence) -> None:
    assert judge(SUBMITTED, good, APPENDED).is_clean


def test_asking_again_for_a_result_is_no_second_end(good: Evidence) -> None:
    good.take_result({"source": "o", "id": "again", "data": _told("s", "completed")})
    assert judge(SUBMITTED, good, APPENDED).doubled
    good.take_entry([_event("task-rejoined", "s")])
    assert judge(SUBMITTED, good, APPENDED).is_clean


def without(found: Evidence, step: str, deed: str, saga_id: str) -> None:
    found.effects = [
        e for e in found.effects if (e.step, e.deed, e.saga_id) != (step, deed, saga_id)
    ]


def _undo_out_of_order(found: Evidence) -> None:
    (early,) = (e for e in found.effects if (e.step, e.deed) == ("reserve", "undo"))
    others = [e for e in found.effects if e is not early]
    place = next(n for n, e in enumerate(others) if e.deed == "undo")
    found.effects = [*others[:place], early, *others[place:]]


def _zombie(found: Evidence) -> None:
    late = next(e for e in found.effects if (e.step, e.deed, e.saga_id) == ("charge", "do", "t"))
    found.effects = [*(e for e in found.effects if e is not late), late]


def _undo_what_completed(found: Evidence) -> None:
    undo = replace(STRANGER, saga_id="s", deed="undo", key="s/charge/undo")
    found.effects = [*found.effects, undo]


BAD: dict[str, tuple[str, Callable[[Evidence], object]]] = {
    "no end in the log": ("lost", lambda found: found.ends.pop("s")),
    "no result published": ("lost", lambda found: found.results.pop("t")),
    "an effect missing": ("lost", lambda found: without(found, "charge", "do", "s")),
    "an effect twice": ("doubled", lambda f: setattr(f, "effects", [*f.effects, f.effects[0]])),
    "two ends": ("doubled", lambda found: found.take_entry([_event("saga-completed", "s")])),
    "two plans": ("doubled", lambda found: found.take_entry([_event("plan-recorded", "s")])),
    "another end": ("wrong", lambda found: found.ends.update(t=["completed"])),
    "results that differ": (
        "wrong",
        lambda found: found.take_result(
            {"source": "o", "id": "s", "data": _told("s", "compensated")}
        ),
    ),
    "an undo missing": ("wrong", lambda found: without(found, "notify", "undo", "t")),
    "undone though completed": ("wrong", _undo_what_completed),
    "undone out of order": ("wrong", _undo_out_of_order),
    "done after it was undone": ("wrong", _zombie),
    "an append missing": ("lost", lambda found: found.appends.pop("r2")),
    "an append twice": ("doubled", lambda found: found.take_append([_appended("r2", 3)])),
    "a gap in a stream": ("wrong", lambda found: found.take_append([_appended("r3", 4)])),
    "an effect of no saga": ("wrong", lambda f: setattr(f, "effects", [*f.effects, STRANGER])),
}


@pytest.mark.parametrize("name", BAD)
def test_a_bad_history_is_convicted(good: Evidence, name: str) -> None:
    charge, spoil = BAD[name]
    spoil(good)
    assert getattr(judge(SUBMITTED, good, APPENDED), charge), name
