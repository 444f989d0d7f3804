"""`folkmoot sagas pause`, `cancel`, `retry-step` and so on: what an operator does to a saga.

A request is sent to the saga's shard, and its answer asked for, which the shard's log gives as
well: so that an embedded mesh in another process can be controlled too.
"""

from __future__ import annotations

import asyncio
import getpass
import json
import os
from dataclasses import replace
from typing import Annotated, Any

import typer
from rich.text import Text

from folkmoot.bus.ports import Bus
from folkmoot.cli.connection import BusOption, JsonOption, ask_service, ask_shard, run
from folkmoot.cli.output import EXIT_USAGE, CommandError, show
from folkmoot.core.messages import (
    AnswerQuestion,
    CancelSaga,
    ForceComplete,
    PauseSaga,
    ResumeSaga,
    RetryStep,
    SignalSaga,
    SkipStep,
    TerminateSaga,
    inbox,
)
from folkmoot.runtime.clock import SystemClock
from folkmoot.runtime.postbox import Postbox

SagaArgument = Annotated[str, typer.Argument(metavar="SAGA")]
StepArgument = Annotated[str, typer.Argument(metavar="STEP")]
ReasonOption = Annotated[str, typer.Option(help="Why; it is recorded.")]
ActorOption = Annotated[
    str | None, typer.Option(help="Who asks; it is recorded. The login name if left out.")
]

ORCHESTRATOR = "saga-orchestrator"
ANSWER_TIMEOUT_S = 10.0
ANSWER_POLL_S = 0.2


def register(sagas: typer.Typer) -> None:
    """Add the commands to `folkmoot sagas`."""
    for name, command in (
        ("pause", pause),
        ("resume", resume),
        ("cancel", cancel),
        ("terminate", terminate),
        ("retry-step", retry_step),
        ("skip-step", skip_step),
        ("force-complete", force_complete),
        ("answer", answer),
        ("signal", signal),
    ):
        sagas.command(name)(command)


def pause(
    saga_id: SagaArgument,
    reason: ReasonOption = "",
    actor: ActorOption = None,
    bus: BusOption = None,
    as_json: JsonOption = False,
) -> None:
    """Begin nothing more of a saga and stop its timers; calls under way may still be answered."""
    who = actor or _me()
    _do(PauseSaga(saga_id, who, reason), "paused", bus, as_json)


def resume(
    saga_id: SagaArgument,
    reason: ReasonOption = "",
    actor: ActorOption = None,
    bus: BusOption = None,
    as_json: JsonOption = False,
) -> None:
    """Let a paused saga go on, its timers with what was left on them."""
    who = actor or _me()
    _do(ResumeSaga(saga_id, who, reason), "resumed", bus, as_json)


def cancel(
    saga_id: SagaArgument,
    reason: ReasonOption = "",
    actor: ActorOption = None,
    bus: BusOption = None,
    as_json: JsonOption = False,
) -> None:
    """Stop a saga and undo what it did."""
    who = actor or _me()
    _do(CancelSaga(saga_id, who, reason), "cancelled; it is undone now", bus, as_json)


def terminate(
    saga_id: SagaArgument,
    reason: ReasonOption = "",
    actor: ActorOption = None,
    bus: BusOption = None,
    as_json: JsonOption = False,
) -> None:
    """End a saga at once and undo nothing. For when nothing else helps."""
    who = actor or _me()
    said = "terminated; nothing was undone"
    _do(TerminateSaga(saga_id, who, reason), said, bus, as_json)


def retry_step(
    saga_id: SagaArgument,
    step_id: StepArgument,
    reason: ReasonOption = "",
    actor: ActorOption = None,
    bus: BusOption = None,
    as_json: JsonOption = False,
) -> None:
    """Begin now the next attempt that a step, or its compensation, waits for."""
    who = actor or _me()
    said = f"step {step_id} is tried again"
    _do(RetryStep(saga_id, step_id, who, reason), said, bus, as_json)


def skip_step(
    saga_id: SagaArgument,
    step_id: StepArgument,
    reason: ReasonOption = "",
    actor: ActorOption = None,
    bus: BusOption = None,
    as_json: JsonOption = False,
) -> None:
    """Go on without a step that was begun, or without undoing it if it is being undone."""
    who = actor or _me()
    said = f"step {step_id} is skipped"
    _do(SkipStep(saga_id, step_id, who, reason), said, bus, as_json)


def force_complete(
    saga_id: SagaArgument,
    step_id: StepArgument,
    result: Annotated[str, typer.Option(metavar="JSON", help="What the step returns.")] = "null",
    reason: ReasonOption = "",
    actor: ActorOption = None,
    bus: BusOption = None,
    as_json: JsonOption = False,
) -> None:
    """Take a step as done with a result, or as undone if it is being undone: you saw to it."""
    who, value = actor or _me(), _parsed(result)
    _do(
        ForceComplete(saga_id, step_id, who, reason, value),
        f"step {step_id} is taken as done",
        bus,
        as_json,
    )


def answer(
    saga_id: SagaArgument,
    question_id: Annotated[str, typer.Argument(metavar="QUESTION")],
    value: Annotated[str, typer.Argument(metavar="JSON")],
    reason: ReasonOption = "",
    actor: ActorOption = None,
    bus: BusOption = None,
    as_json: JsonOption = False,
) -> None:
    """Answer a question that a step asks; `folkmoot sagas show SAGA` has its id."""
    request = AnswerQuestion(saga_id, question_id, actor or _me(), _parsed(value), reason)
    _do(request, f"{question_id} is answered", bus, as_json)


def signal(
    saga_id: SagaArgument,
    name: Annotated[str, typer.Argument(metavar="NAME")],
    value: Annotated[str, typer.Argument(metavar="JSON")] = "null",
    reason: ReasonOption = "",
    actor: ActorOption = None,
    bus: BusOption = None,
    as_json: JsonOption = False,
) -> None:
    """Let whatever waits for a signal go on; it is kept until something does."""
    request = SignalSaga(saga_id, name, actor or _me(), _parsed(value), reason)
    _do(request, f"signal {name} is given", bus, as_json)


def _me() -> str:
    try:
        return getpass.getuser()
    except (KeyError, OSError):
        return "operator"


def _parsed(text: str) -> Any:
    try:
        return json.loads(text)
    except json.JSONDecodeError as error:
        raise CommandError(f"it is not JSON: {error}", EXIT_USAGE) from error


def _do(request: Any, said: str, bus: str | None, as_json: bool) -> None:
    request = replace(request, request_id=os.urandom(12).hex())
    refusal = run(lambda connected: _asked(connected, request), bus)
    if refusal is not None:
        raise CommandError(f"saga {request.saga_id}: {refusal['detail']}")
    told = {"saga_id": request.saga_id, "accepted": True}
    show(told, as_json, lambda _: Text(f"saga {request.saga_id}: {said}"))


async def _asked(bus: Bus, request: Any) -> dict[str, Any] | None:
    """Send a request and return why it was refused, None if it was not."""
    shard = await _shard_of(bus, request.saga_id)
    postbox = Postbox(bus, "/folkmoot/cli", SystemClock())
    topic, request_id = inbox(ORCHESTRATOR), request.request_id
    await postbox.send(topic, shard, request, request.saga_id, request_id)
    await postbox.close()
    question = {"op": "control", "request_id": request_id}
    try:
        async with asyncio.timeout(ANSWER_TIMEOUT_S):
            while (answer := await ask_shard(bus, ORCHESTRATOR, shard, question)) is None:
                await asyncio.sleep(ANSWER_POLL_S)
    except TimeoutError:
        raise CommandError(
            "nobody has decided it yet: it is in the log, and will be when the orchestrator runs"
        ) from None
    refusal: dict[str, Any] | None = answer["failure"]
    return refusal


async def _shard_of(bus: Bus, saga_id: str) -> int:
    answers = await ask_service(bus, ORCHESTRATOR, {"op": "find", "saga_id": saga_id})
    for shard, answer in enumerate(answers):
        if answer is not None:
            return shard
    raise CommandError(f"there is no saga {saga_id}; `folkmoot sagas ls` lists what there is")
