"""`folkmoot submit` and `folkmoot sagas`: give work, and see what became of it."""

from __future__ import annotations

import json
import time
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Annotated, Any, get_args

import typer
from rich.console import Group, RenderableType
from rich.live import Live
from rich.text import Text

from folkmoot.bus.ports import Bus
from folkmoot.cli.asking import explanation, times_of
from folkmoot.cli.connection import (
    BusOption,
    JsonOption,
    TimeoutOption,
    WaitOption,
    ask_service,
    run,
)
from folkmoot.cli.output import (
    EXIT_COMPENSATED,
    EXIT_FAILED,
    EXIT_USAGE,
    CommandError,
    console,
    moment,
    show,
    span,
    styled,
    table,
)
from folkmoot.core.shares import Priority
from folkmoot.sdk.client import Client, Saga
from folkmoot.sdk.errors import SagaFailed

sagas = typer.Typer(help="List sagas, show one, watch one, control one.", no_args_is_help=True)

REFRESH_S = 0.5
ENDED = ("completed", "compensated", "failed", "refused", "terminated")


def submit(
    team: Annotated[str, typer.Argument(help="The team that is to do it.")],
    task: Annotated[
        str, typer.Argument(metavar="JSON", help="The task as JSON; `@FILE` reads a file.")
    ] = "null",
    key: Annotated[
        str | None,
        typer.Option(
            help="Idempotency key: submitting again with the same key joins the same saga."
        ),
    ] = None,
    definition: Annotated[
        str, typer.Option(metavar="NAME", help="Which of the team's sagas; its `plan` if left out.")
    ] = "",
    plan_hash: Annotated[
        str,
        typer.Option(
            metavar="HASH", help="Run this very plan or none: `sagas show SAGA --json` has it."
        ),
    ] = "",
    tenant: Annotated[
        str, typer.Option(help="For whom: where calls wait, tenants get equal shares.")
    ] = "",
    priority: Annotated[
        str,
        typer.Option(metavar="PRIORITY", help="high, normal or low: a larger or smaller share."),
    ] = "normal",
    wait: WaitOption = True,
    timeout: TimeoutOption = None,
    bus: BusOption = None,
    as_json: JsonOption = False,
) -> None:
    """Submit a task to a team.

    Exit status: 0 if it completed, 3 if it failed and was undone, 1 otherwise.

    Example: folkmoot submit dossier '{"out": "/tmp/dossier"}'
    """
    wanted = {
        "idempotency_key": key,
        "definition": definition,
        "plan_hash": plan_hash,
        "tenant": tenant,
        "priority": _priority(priority),
    }
    body = read_json(task, "the task")
    outcome = run(lambda on: _submit(on, team, body, wanted, wait, timeout), bus)
    report(outcome, as_json)


def _priority(word: str) -> str:
    if word not in get_args(Priority):
        raise CommandError(f"{word!r} is none of: {', '.join(get_args(Priority))}", EXIT_USAGE)
    return word


def report(outcome: Mapping[str, Any], as_json: bool) -> None:
    """Print what became of a saga that was begun, and exit as that says."""
    if as_json or "result" not in outcome:
        show(outcome, as_json, lambda shown: Text(f"saga {shown['saga_id']}: {shown['state']}"))
    else:
        console.print_json(json.dumps(outcome["result"]))
    if "failure" in outcome:
        if not as_json:
            console.print(outcome["failure"], style="red")
        undone = outcome["state"] == "compensated"
        raise typer.Exit(EXIT_COMPENSATED if undone else EXIT_FAILED)


def read_json(given: str, what: str) -> Any:
    """Return JSON that stands in an argument, or in the file that `@FILE` names.

    Raises:
        CommandError: it cannot be read, or is no JSON.
    """
    try:
        text = Path(given[1:]).read_text() if given.startswith("@") else given
        return json.loads(text)
    except OSError as error:
        raise CommandError(f"cannot read {what}: {error}", EXIT_USAGE) from error
    except json.JSONDecodeError as error:
        raise CommandError(f"{what} is not JSON: {error}", EXIT_USAGE) from error


async def _submit(
    bus: Bus,
    team: str,
    task: Any,
    wanted: Mapping[str, Any],
    wait: bool,
    timeout_s: float | None,
) -> dict[str, Any]:
    async with Client.on(bus) as client:
        saga = await client.submit(team, task, **wanted)
        return await followed(saga, wait, timeout_s)


async def followed(saga: Saga, wait: bool, timeout_s: float | None) -> dict[str, Any]:
    """Return what becomes of a saga that was begun, when it has ended if `wait`.

    Raises:
        CommandError: it has not ended in time.
    """
    if not wait:
        return {"saga_id": saga.saga_id, "state": "submitted"}
    try:
        result = await saga.result(timeout_s=timeout_s)
    except SagaFailed as failed:
        return {"saga_id": saga.saga_id, "state": failed.state, "failure": failed.detail}
    except TimeoutError as error:
        raise CommandError(
            f"saga {saga.saga_id} has not ended after {timeout_s:g} s; it goes on: "
            f"`folkmoot sagas show {saga.saga_id}`"
        ) from error
    return {"saga_id": saga.saga_id, "state": "completed", "result": result}


@sagas.command("show")
def show_saga(
    saga_id: Annotated[str, typer.Argument(metavar="SAGA")],
    bus: BusOption = None,
    as_json: JsonOption = False,
) -> None:
    """Show one saga on one screen: why it is where it is, its steps, attempts and times."""
    show(run(lambda connected: look(connected, saga_id), bus), as_json, drawn)


async def look(bus: Bus, saga_id: str) -> dict[str, Any]:
    """Return what is known of a saga, with an explanation and the times of its steps.

    Raises:
        CommandError: there is no such saga.
    """
    found = await find(bus, saga_id)
    found["explanation"] = await explanation(bus, saga_id)
    times = await times_of(bus, saga_id)
    for step in found.get("steps", ()):
        step |= times.get(step["id"], {})
    return found


async def find(bus: Bus, saga_id: str) -> dict[str, Any]:
    """Return what the orchestrator knows of a saga.

    Raises:
        CommandError: it knows no such saga.
    """
    for answer in await ask_service(bus, "saga-orchestrator", {"op": "find", "saga_id": saga_id}):
        if answer is not None:
            found: dict[str, Any] = answer
            return found
    raise CommandError(f"there is no saga {saga_id}; `folkmoot sagas ls` lists what there is")


def drawn(saga: Mapping[str, Any]) -> RenderableType:
    """Return the picture of a saga as the orchestrator describes it."""
    head = Text.from_markup(
        f"saga [bold]{saga['saga_id']}[/]  team {saga['team']}  {styled(saga['state'])}"
    )
    parts: list[RenderableType] = [head]
    if saga.get("explanation"):
        parts.append(Text(saga["explanation"]))
    if saga.get("paused_by"):
        parts.append(Text(f"paused by {saga['paused_by']}", "yellow"))
    if saga.get("failure"):
        parts.append(Text(saga["failure"]["detail"], "red"))
    if saga.get("steps"):
        parts.append(_steps(saga["steps"]))
    parts += [_question(question) for question in saga.get("questions", ())]
    if saga.get("compensations"):
        parts.append(Text(f"undone: {' → '.join(saga['compensations'])}", "magenta"))
    if saga.get("not_undone"):
        parts.append(Text(f"not undone: {', '.join(saga['not_undone'])}", "bold red"))
    return Group(*parts)


def _question(question: Mapping[str, Any]) -> Text:
    until = moment(question["deadline_at"])
    return Text(f"asks until {until}: {question['prompt']}  ({question['id']})", "bold yellow")


def _steps(steps: Iterable[Mapping[str, Any]]) -> RenderableType:
    return table(
        "",
        ("step", "agent", "state", "attempt", "took", "waits for"),
        [
            (
                step["id"],
                step.get("agent"),
                styled(step["state"]),
                step.get("attempt") or "",
                _took(step),
                step.get("waiting_for") or "",
            )
            for step in steps
        ],
    )


def _took(step: Mapping[str, Any]) -> str:
    began_at, ended_at = step.get("began_at"), step.get("ended_at")
    return "" if began_at is None or ended_at is None else span(ended_at - began_at)


@sagas.command("watch")
def watch(
    saga_id: Annotated[str, typer.Argument(metavar="SAGA")],
    bus: BusOption = None,
) -> None:
    """Show one saga until it ends."""
    saga = run(lambda connected: look(connected, saga_id), bus)
    with Live(drawn(saga), console=console, auto_refresh=False) as live:
        while saga["state"] not in ENDED:
            time.sleep(REFRESH_S)
            saga = run(lambda connected: look(connected, saga_id), bus)
            live.update(drawn(saga), refresh=True)
