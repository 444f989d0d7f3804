"""What a worker tells of the calls that it has, and of what its agents know together."""

from __future__ import annotations

from collections.abc import Sequence
from typing import get_args

from folkmoot.core.crdt.replica import ProblemKind
from folkmoot.core.worker import WorkerState
from folkmoot.runtime.replica import Replica
from folkmoot.runtime.sheet import Sheet
from folkmoot.sdk.knowledge import Knowledge

PROBLEMS: Sequence[str] = get_args(ProblemKind)


class WorkerMeasure:
    """The measure of one process. Everything it tells is counted already."""

    def __init__(self, replicas: Sequence[Replica[WorkerState]], knowledge: Knowledge) -> None:
        self._replicas, self._knowledge = replicas, knowledge

    def __call__(self, sheet: Sheet) -> None:
        """Tell the calls of each shard that is led here, and the documents of this process."""
        for replica in self._replicas:
            if replica.leads:
                shard, state = replica.name.origin, replica.shard.state
                sheet.put("calls_running", state.running, shard)
                sheet.put("calls_waiting", len(state.calls) - state.running, shard)
                sheet.put("calls_ended_total", state.ended, shard)
        sheet.put("knowledge_documents", len(self._knowledge.replica.documents))
        sheet.put("knowledge_differing_documents", self._knowledge.replica.differing)
        problems = self._knowledge.problems
        for kind in (*PROBLEMS, "unreadable"):
            sheet.put("knowledge_problems_total", problems.get(kind, 0), kind)
