"""The saga orchestrator's machine."""

from folkmoot.core.saga.answers import ControlAnswer, announcement_subject
from folkmoot.core.saga.describing import counts, describe_saga, find, summaries, summary
from folkmoot.core.saga.explaining import call_of, explain, explain_call
from folkmoot.core.saga.index import Key, Wanted
from folkmoot.core.saga.listing import page
from folkmoot.core.saga.machine import SagaMachine
from folkmoot.core.saga.settings import Backoff, SagaSettings
from folkmoot.core.saga.state import Ended, Saga, SagaState

__all__ = [
    "Backoff",
    "ControlAnswer",
    "Ended",
    "Key",
    "Saga",
    "SagaMachine",
    "SagaSettings",
    "SagaState",
    "Wanted",
    "announcement_subject",
    "call_of",
    "counts",
    "describe_saga",
    "explain",
    "explain_call",
    "find",
    "page",
    "summaries",
    "summary",
]
