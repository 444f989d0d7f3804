"""What is decided about requests to a saga, and about what its steps ask of people."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from folkmoot.core.messages import Address, Failure, Json

ControlKind = Literal[
    "cancel",
    "pause",
    "resume",
    "terminate",
    "retry-step",
    "skip-step",
    "force-complete",
    "answer",
    "signal",
]


@dataclass(frozen=True, slots=True)
class ControlAccepted:
    """Somebody asked for something, and what follows in this entry is due to it."""

    saga_id: str
    control: ControlKind
    actor: str
    reason: str
    request_id: str = ""
    step_id: str = ""


@dataclass(frozen=True, slots=True)
class ControlRefused:
    """Somebody asked for what does not fit; nothing was changed."""

    saga_id: str
    control: ControlKind
    actor: str
    reason: str
    failure: Failure
    request_id: str = ""
    step_id: str = ""


@dataclass(frozen=True, slots=True)
class SagaPaused:
    """Nothing more begins, and no timer runs, until it is resumed: by itself, or `with_parent`.

    It may be paused both ways at a time.
    """

    saga_id: str
    actor: str
    with_parent: bool = False


@dataclass(frozen=True, slots=True)
class SagaResumed:
    """The saga goes on, unless it is still paused the other way: by itself, or `with_parent`.

    What was left on its timers when it was paused is left now.
    """

    saga_id: str
    with_parent: bool = False


@dataclass(frozen=True, slots=True)
class SagaQueued:
    """All places are taken: a saga that was just opened waits for its turn to begin."""

    saga_id: str


@dataclass(frozen=True, slots=True)
class SagaAdmitted:
    """There is a place for a saga that waited, and it begins."""

    saga_id: str


@dataclass(frozen=True, slots=True)
class QuestionAsked:
    """A step waits for a person, or for a signal if one is named; its clock stands still."""

    saga_id: str
    step_id: str
    call_id: str
    question_id: str
    key: str
    prompt: str
    schema: Json
    signal: str
    deadline_at: int
    answer_to: Address
    expires_at: int


@dataclass(frozen=True, slots=True)
class QuestionAnswered:
    """A step is told what it asked for; its own time comes at `expires_at`."""

    saga_id: str
    step_id: str
    question_id: str
    value: Json
    actor: str
    expires_at: int


@dataclass(frozen=True, slots=True)
class QuestionExpired:
    """Nobody answered in time, and the step is told so."""

    saga_id: str
    step_id: str
    question_id: str
    expires_at: int


@dataclass(frozen=True, slots=True)
class SignalKept:
    """A signal came that nothing waits for yet."""

    saga_id: str
    name: str
    value: Json
    actor: str
