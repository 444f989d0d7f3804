"""What counts as the one end of a saga."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from folkmoot.contracts.envelope import encode_message
from folkmoot.core.messages import TASK_RESULTS, Failure, TaskResult
from folkmoot.core.saga.events import SagaCompleted, SagaOpened, TaskRefused
from folkmoot.testing.simulation.saga_checks import ORCHESTRATOR, sagas_end_once

FAILURE = Failure("unknown-team", "nobody has joined")
OPENED = SagaOpened("s", "t", None)
COMPLETED = SagaCompleted("s", 1)
REFUSED = TaskRefused("s", "t", FAILURE)


def violations(events: list[object], told: list[str]) -> list[Any]:
    stored = []
    for state in told:
        result = TaskResult("s", "t", state)  # type: ignore[arg-type]
        value, headers = encode_message(result, event_id="e", source="s", at=0)
        stored.append(SimpleNamespace(value=value, headers=headers))
    shard = SimpleNamespace(accepted=[SimpleNamespace(events=[event]) for event in events])
    evidence: Any = SimpleNamespace(
        shards={ORCHESTRATOR: shard},
        seen=SimpleNamespace(tasks=["s"]),
        topics={(TASK_RESULTS, 0): stored},
    )
    return list(sagas_end_once(evidence))


@pytest.mark.parametrize(
    ("events", "told"),
    [
        ([OPENED, COMPLETED], ["completed"]),
        ([OPENED, COMPLETED], ["completed", "completed"]),
        ([REFUSED], ["refused"]),
        ([REFUSED, REFUSED], ["refused", "refused"]),
        ([REFUSED, OPENED, COMPLETED], ["refused", "completed"]),
    ],
)
def test_one_end_and_refusals_before_it(events: list[object], told: list[str]) -> None:
    assert violations(events, told) == []


@pytest.mark.parametrize(
    ("events", "told"),
    [
        ([], []),
        ([OPENED], []),
        ([COMPLETED], ["completed"]),
        ([OPENED, COMPLETED], []),
        ([OPENED, COMPLETED], ["failed"]),
        ([OPENED, COMPLETED, COMPLETED], ["completed"]),
        ([OPENED, OPENED, COMPLETED], ["completed"]),
        ([OPENED, REFUSED], ["refused"]),
        ([OPENED, COMPLETED, REFUSED], ["completed", "refused"]),
        ([REFUSED], ["completed"]),
    ],
)
def test_anything_else_is_told(events: list[object], told: list[str]) -> None:
    assert [each.invariant for each in violations(events, told)] == ["I6"]
