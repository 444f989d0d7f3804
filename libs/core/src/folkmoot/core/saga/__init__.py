"""The saga orchestrator's machine."""

from folkmoot.core.saga.answers import ControlAnswer, announcement_subject
from folkmoot.core.saga.describing import describe_saga, find, state_of, summaries, summary
from folkmoot.core.saga.machine import SagaMachine
from folkmoot.core.saga.settings import Backoff, SagaSettings
from folkmoot.core.saga.state import Ended, Saga, SagaState

__all__ = [
    "Backoff",
    "ControlAnswer",
    "Ended",
    "Saga",
    "SagaMachine",
    "SagaSettings",
    "SagaState",
    "announcement_subject",
    "describe_saga",
    "find",
    "state_of",
    "summaries",
    "summary",
]
