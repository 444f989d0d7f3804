"""`folkmoot sagas ls`, `explain`, `history`, `state`, `result`: find sagas, understand one."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Annotated, Any

import typer
from rich.console import Group, RenderableType
from rich.text import Text

from folkmoot.bus.ports import Bus
from folkmoot.cli.asking import event_name, explanation, history_of, listed, work_of
from folkmoot.cli.connection import BusOption, JsonOption, ask_service, run
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
from folkmoot.cli.tasks import drawn
from folkmoot.core.saga.telling import tell
from folkmoot.runtime.clock import SystemClock
from folkmoot.sdk.claims import Claims
from folkmoot.sdk.listing import Filter, Place
from folkmoot.sdk.past import state_of

SagaArgument = Annotated[str, typer.Argument(metavar="SAGA")]

UNITS_MS = {"s": 1_000, "m": 60_000, "h": 3_600_000, "d": 86_400_000}


def register(sagas: typer.Typer) -> None:
    """Add the commands to `folkmoot sagas`."""
    for command in (ls, explain, history, state, result):
        sagas.command(command.__name__)(command)


def ls(
    state: Annotated[
        str | None, typer.Option(help="running, paused, queued, stuck, completed and so on.")
    ] = None,
    team: Annotated[str | None, typer.Option(help="Only those of this team.")] = None,
    retrying: Annotated[
        str | None,
        typer.Option(metavar="STEP", help="Whose STEP is between attempts; `*` is any step."),
    ] = None,
    waiting_on: Annotated[
        str | None,
        typer.Option(
            metavar="WHAT", help="An agent, `person`, `signal:NAME`, `retry`, `resume`, `place`."
        ),
    ] = None,
    older_than: Annotated[
        str | None, typer.Option(metavar="TIME", help="Opened before that: `90s`, `5m`, `2h`.")
    ] = None,
    text: Annotated[
        str | None, typer.Option(help="In the id, the task, the steps, or what failed.")
    ] = None,
    limit: Annotated[int, typer.Option(min=1, max=500, help="How many to show.")] = 50,
    after: Annotated[
        str | None, typer.Option(metavar="PLACE", help="Where the page before ended.")
    ] = None,
    bus: BusOption = None,
    as_json: JsonOption = False,
) -> None:
    """List sagas that are open, or ended not long ago: the newest first, a page at a time.

    Example: folkmoot sagas ls --state stuck --older-than 10m
    """
    before = None if older_than is None else SystemClock().now() - _span_ms(older_than)
    wanted = Filter(state, team, retrying, waiting_on, before, text)
    place = None if after is None else _place(after)
    page = run(lambda connected: listed(connected, wanted, limit, place), bus)
    found = {
        "sagas": [*page.sagas],
        "next": None if page.following is None else "{}/{}".format(*page.following),
        "as_of": page.as_of,
    }
    show(found, as_json, _page)


def _span_ms(text: str) -> int:
    number, unit = text[:-1], text[-1:]
    if not number.isdecimal() or unit not in UNITS_MS:
        raise CommandError(f"{text!r} is no time: write 90s, 5m, 2h or 1d", EXIT_USAGE)
    return int(number) * UNITS_MS[unit]


def _place(text: str) -> Place:
    opened_at, _, saga_id = text.partition("/")
    if not opened_at.isdecimal() or not saga_id:
        raise CommandError(f"{text!r} is no place: take what the page before says", EXIT_USAGE)
    return int(opened_at), saga_id


def _page(found: Mapping[str, Any]) -> RenderableType:
    rows = [
        (
            saga["saga_id"],
            saga["team"],
            styled(saga["state"]),
            moment(saga["opened_at"]),
            _progress(saga),
            ", ".join(saga["waiting_on"]),
        )
        for saga in found["sagas"]
    ]
    shown = table("sagas", ("saga", "team", "state", "opened", "steps", "waits for"), rows)
    if found["next"] is None:
        return shown
    return Group(shown, Text(f"more: --after {found['next']}", "dim"))


def _progress(saga: Mapping[str, Any]) -> str:
    if saga.get("steps_total") is None:
        return ""
    return f"{saga.get('steps_done', 0)} of {saga['steps_total']}"


def explain(saga_id: SagaArgument, bus: BusOption = None, as_json: JsonOption = False) -> None:
    """Say in a sentence why a saga is where it is."""
    said = run(lambda connected: explanation(connected, saga_id), bus)
    if said is None:
        raise CommandError(f"there is no saga {saga_id}; `folkmoot sagas ls` lists what there is")
    told = {"saga_id": saga_id, "explanation": said}
    show(told, as_json, lambda each: Text(each["explanation"]))


def history(
    saga_id: SagaArgument,
    at: Annotated[
        int | None, typer.Option("--at", metavar="N", min=1, help="Only the first N events.")
    ] = None,
    work: Annotated[
        bool,
        typer.Option("--work", help="Also what its workers recorded: `sagas replay` needs it."),
    ] = False,
    bus: BusOption = None,
    as_json: JsonOption = False,
) -> None:
    """Tell everything that happened to a saga, an event a line."""
    if at is not None and work:
        raise CommandError("--work goes without --at: workers count no versions", EXIT_USAGE)
    found = run(lambda connected: _history(connected, saga_id, at, work), bus)
    show(found, as_json, _told)


async def _history(bus: Bus, saga_id: str, at: int | None, work: bool) -> list[Mapping[str, Any]]:
    found = await history_of(bus, saga_id, at)
    if not work:
        return found
    named = [{**each, "stream": f"saga-{saga_id}"} for each in found]
    return sorted([*named, *await work_of(bus, saga_id)], key=lambda each: int(each["at"]))


def _told(found: Sequence[Mapping[str, Any]]) -> RenderableType:
    began = found[0]["at"]
    rows = [(each["version"], f"+{span(each['at'] - began)}", _sentence(each)) for each in found]
    return table("", ("event", "after", "what happened"), rows)


def _sentence(recorded: Mapping[str, Any]) -> str:
    return tell(event_name(recorded), recorded["event"]["data"])


def state(
    saga_id: SagaArgument,
    at: Annotated[int, typer.Option("--at", metavar="N", min=1, help="After its first N events.")],
    bus: BusOption = None,
    as_json: JsonOption = False,
) -> None:
    """Show a saga as it was: after N of its events, as `folkmoot sagas history` numbers them."""
    found = run(lambda connected: history_of(connected, saga_id, at), bus)
    show(dict(state_of(saga_id, found)), as_json, drawn)


def result(saga_id: SagaArgument, bus: BusOption = None, as_json: JsonOption = False) -> None:
    """Print the result of a saga that has ended.

    Exit status: 0 if it completed, 3 if it failed and was undone, 1 otherwise.
    """
    outcome = run(lambda connected: _outcome(connected, saga_id), bus)
    if as_json:
        show(outcome, as_json, Text)
    elif outcome["state"] == "completed":
        console.print_json(json.dumps(outcome["result"]))
    else:
        console.print(Text(f"{outcome['state']}: {(outcome['failure'] or {}).get('detail')}"))
    if outcome["state"] != "completed":
        undone = outcome["state"] == "compensated"
        raise typer.Exit(EXIT_COMPENSATED if undone else EXIT_FAILED)


async def _outcome(bus: Bus, saga_id: str) -> dict[str, Any]:
    request = {"op": "outcome", "saga_id": saga_id}
    for answer in await ask_service(bus, "saga-orchestrator", request):
        if answer is not None:
            found: dict[str, Any] = answer
            return found | {"result": await Claims.on(bus.address).resolved(found["result"])}
    said = await explanation(bus, saga_id)
    raise CommandError(
        f"there is no saga {saga_id}; `folkmoot sagas ls` lists what there is"
        if said is None
        else f"saga {saga_id} has not ended: {said}"
    )
