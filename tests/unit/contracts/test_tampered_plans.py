"""A plan that was altered in the log is not believed by whoever reads it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import orjson
import pytest

from folkmoot.contracts.codec import TamperedRecord, decode_record, encode_record
from folkmoot.core.kernel import Entry
from folkmoot.core.saga import SagaMachine, SagaSettings
from folkmoot.core.saga.plan import parse_plan
from folkmoot.core.saga.plan_events import PlanRecorded
from tests.golden.golden import PLACE, Golden

EVENTS = SagaMachine(SagaSettings(), 0).events
PLAN = [
    {"id": "a", "name": "a", "agent": "w", "input": {"x": [1, 2.5, None, "é"], "b": {"z": 1}}},
    {"id": "b", "name": "b", "agent": "w", "needs": ["a"], "role": "retriable", "retry": {}},
    {
        "id": "c", "name": "c", "agent": "w", "needs": ["a"],
        "when": {"step": "a", "path": ["x", 0], "op": "in", "value": [1, "1"]},
    },
    {"id": "d", "name": "plan", "agent": "team", "needs": ["b"], "each": "b", "child": True},
]  # fmt: skip


def recorded(**whole: Any) -> tuple[bytes, Any]:
    plan = parse_plan({"steps": PLAN} | whole, SagaSettings())
    event = PlanRecorded("s1", plan.hash, plan.steps, plan.max_parallel, plan.result)
    return encode_record(Entry(1, 2, (event,)), "s", 3)


@pytest.mark.parametrize("whole", [{}, {"max_parallel": 3}, {"result": "steps"}])
def test_what_was_recorded_is_read(whole: dict[str, Any]) -> None:
    value, headers = recorded(**whole)
    entry = decode_record(value, headers, EVENTS)
    assert isinstance(entry, Entry)
    assert len(entry.events[0].steps) == 4  # type: ignore[attr-defined]


@pytest.mark.parametrize(
    "alter",
    [
        lambda plan: plan["steps"][0]["input"]["x"].append(3),
        lambda plan: plan["steps"][1].update(compensable=True),
        lambda plan: plan["steps"][1].update(agent="thief"),
        lambda plan: plan["steps"][2]["when"].update(op="ne"),
        lambda plan: plan["steps"][3].update(child=False),
        lambda plan: plan["steps"].pop(),
        lambda plan: plan["steps"].reverse(),
        lambda plan: plan.update(max_parallel=1),
        lambda plan: plan.update(result="only-step"),
        lambda plan: plan.update(plan_hash="0" * 32),
    ],
)
def test_what_was_altered_is_not(alter: Callable[[dict[str, Any]], object]) -> None:
    value, headers = recorded()
    (event,) = orjson.loads(value)
    alter(event["data"])
    with pytest.raises(TamperedRecord, match=r"the plan of saga s1 has the hash .* restore it"):
        decode_record(orjson.dumps([event]), headers, EVENTS)


def plans() -> Iterator[bytes]:
    for path in PLACE.glob("saga-orchestrator-*.jsonl.gz"):
        for written in Golden(path).read():
            if b"folkmoot.plan-recorded.v1" in written.value:
                yield written.value


def test_every_plan_that_was_ever_recorded_still_has_its_hash() -> None:
    found = [event for value in plans() for event in orjson.loads(value)]
    plan_events = [each for each in found if each["type"] == "folkmoot.plan-recorded.v1"]
    assert len(plan_events) > 50
    for event in plan_events:
        decode_record(orjson.dumps([event]), recorded()[1], EVENTS)
