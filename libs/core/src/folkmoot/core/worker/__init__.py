"""The machine of agent workers: one partition of an agent's calls, or a team's leader hooks."""

from folkmoot.core.worker.inputs import (
    AskQuestion,
    DeliverAnswer,
    HandlerFailed,
    HandlerSucceeded,
    JournalResult,
    ReportProgress,
    RunHandler,
    StopHandler,
)
from folkmoot.core.worker.machine import SPENT, WorkerMachine, WorkerSettings, describe
from folkmoot.core.worker.state import OpenCall, WorkerState

__all__ = [
    "SPENT",
    "AskQuestion",
    "DeliverAnswer",
    "HandlerFailed",
    "HandlerSucceeded",
    "JournalResult",
    "OpenCall",
    "ReportProgress",
    "RunHandler",
    "StopHandler",
    "WorkerMachine",
    "WorkerSettings",
    "WorkerState",
    "describe",
]
