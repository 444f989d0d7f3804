"""What a worker's machine is told and asks for within its own process."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from folkmoot.core.messages import Call, Failure, Json


@dataclass(frozen=True, slots=True)
class HandlerSucceeded:
    """Input: the handler returned."""

    call_id: str
    run: int
    result: Json


@dataclass(frozen=True, slots=True)
class HandlerFailed:
    """Input: the handler raised, was stopped, or ran out of time."""

    call_id: str
    run: int
    failure: Failure


@dataclass(frozen=True, slots=True)
class JournalResult:
    """Input: a call inside the handler has a result to remember."""

    call_id: str
    run: int
    key: str
    value: Json


@dataclass(frozen=True, slots=True)
class ReportProgress:
    """Input: the handler shows that it is still at it."""

    call_id: str
    run: int


@dataclass(frozen=True, slots=True)
class AskQuestion:
    """Input: the handler waits for a person's answer, or for a signal, for `wait_ms` at most."""

    call_id: str
    run: int
    key: str
    prompt: str
    schema: Json
    wait_ms: int
    signal: str = ""


@dataclass(frozen=True, slots=True)
class DeliverAnswer:
    """Request: what the handler asked under `key` is now in its journal, as `value`."""

    call_id: str
    key: str
    value: Json


@dataclass(frozen=True, slots=True)
class RunHandler:
    """Request: run the handler of `call`, taking from `journal` what earlier runs did.

    Its time counts from `call.sent_at`, which is when this was decided.
    """

    call: Call
    run: int
    journal: Mapping[str, Json]


@dataclass(frozen=True, slots=True)
class StopHandler:
    """Request: stop the handler, if it still runs."""

    call_id: str
