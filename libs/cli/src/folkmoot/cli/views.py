"""`folkmoot breakers` and `knowledge`: who is fenced off, what is known."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Annotated, Any

import typer
from rich.console import RenderableType

from folkmoot.bus.ports import Bus
from folkmoot.cli.connection import BusOption, JsonOption, ask_service, run
from folkmoot.cli.output import CommandError, moment, show, styled, table
from folkmoot.sdk.knowledge import read_all, read_document

knowledge = typer.Typer(help="What agents know together.", no_args_is_help=True)


def breakers(
    call: Annotated[
        str | None,
        typer.Option(metavar="CALL", help="Say where this call is: it waits, or was sent on."),
    ] = None,
    bus: BusOption = None,
    as_json: JsonOption = False,
) -> None:
    """Show each agent's breaker: its state, what is in flight, what it has seen lately and in all.

    With --call, show one call that has not ended; `sagas history --json` has the ids of calls.
    """
    if call is None:
        show(run(_targets, bus), as_json, _breakers)
    else:
        show(run(lambda connected: _place(connected, call), bus), as_json, _placed)


async def _targets(bus: Bus) -> list[dict[str, Any]]:
    answers = await ask_service(bus, "breaker-proxy", {"op": "show"})
    return [
        {"agent": name, **target}
        for answer in answers
        for name, target in answer["targets"].items()
    ]


async def _place(bus: Bus, call_id: str) -> Mapping[str, Any]:
    request = {"op": "call", "call_id": call_id}
    for answer in await ask_service(bus, "breaker-proxy", request):
        if answer is not None:
            found: Mapping[str, Any] = answer
            return found
    raise CommandError(
        f"no breaker has a call {call_id}: it has ended, or never came; "
        "`folkmoot sagas history SAGA --json` has the ids of a saga's calls"
    )


def _placed(call: Mapping[str, Any]) -> RenderableType:
    breaker = f"the breaker of {call['target']} is {styled(call['breaker'])}"
    if call["state"] == "queued":
        return f"it waits for {call['waiting_for']}; {breaker}"
    return f"it was sent to partition {call['partition']} of {call['target']}; {breaker}"


def _breakers(targets: Iterable[Mapping[str, Any]]) -> RenderableType:
    return table(
        "breakers",
        ("agent", "state", "since", "tries again", "now", "failed lately", "in all"),
        [
            (
                target["agent"],
                styled(target["state"]),
                moment(target["since"]),
                moment(target["retry_at"]),
                _now(target),
                f"{target['window']['failures']:,} of {target['window']['calls']:,}",
                ", ".join(f"{count:,} {what}" for what, count in target["totals"].items() if count),
            )
            for target in targets
        ],
    )


def _now(target: Mapping[str, Any]) -> str:
    """Return the calls that have not ended, and those of each limit in use."""
    calls = f"{sum(target['in_flight'])} in flight, {target['queued']} queued"
    return "; ".join([calls, *(_gate(*each) for each in target.get("limits", {}).items())])


def _gate(key: str, gate: Mapping[str, Any]) -> str:
    most = f" of {gate['in_flight_max']}" if gate["in_flight_max"] else ""
    waiting = f", {gate['queued']} wait" if gate["queued"] else ""
    return f"{key}: {gate['in_flight']}{most} at work{waiting}"


@knowledge.command("show")
def show_document(
    document: Annotated[str | None, typer.Argument(metavar="[DOC]")] = None,
    bus: BusOption = None,
    as_json: JsonOption = False,
) -> None:
    """Show a shared document as it is kept in the log; without DOC, list what there is."""

    async def read(connected: Bus) -> Any:
        if document is None:
            return {
                name: crdt_value(each) for name, each in (await read_all(connected.log)).items()
            }
        found = await read_document(connected.log, document)
        if found is None:
            raise CommandError(f"there is no document {document!r}; `knowledge show` lists them")
        return crdt_value(found)

    show(run(read, bus), as_json, _summary if document is None else _document)


def crdt_value(crdt: Any) -> Any:
    """Return a CRDT's value as JSON: a number, or the elements of a set."""
    value = crdt.value
    return value if isinstance(value, int) else list(value)


def _summary(documents: Mapping[str, Any]) -> RenderableType:
    rows = [
        (name, f"{value:,}" if isinstance(value, int) else f"{len(value):,} elements")
        for name, value in documents.items()
    ]
    return table("shared knowledge", ("document", "value"), rows)


def _document(value: Any) -> RenderableType:
    if isinstance(value, int):
        return f"{value:,}"
    return table("", ("element",), [(str(element),) for element in value])
