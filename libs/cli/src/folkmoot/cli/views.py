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


def breakers(bus: BusOption = None, as_json: JsonOption = False) -> None:
    """Show each agent's breaker: its state, what it has seen lately, what is in flight."""

    async def ask(connected: Bus) -> list[dict[str, Any]]:
        answers = await ask_service(connected, "breaker-proxy", {"op": "show"})
        return [
            {"agent": name, **target}
            for answer in answers
            for name, target in answer["targets"].items()
        ]

    show(run(ask, bus), as_json, _breakers)


def _breakers(targets: Iterable[Mapping[str, Any]]) -> RenderableType:
    return table(
        "breakers",
        ("agent", "state", "since", "tries again", "in flight", "queued", "limits"),
        [
            (
                target["agent"],
                styled(target["state"]),
                moment(target["since"]),
                moment(target["retry_at"]),
                sum(target["in_flight"]),
                target["queued"],
                "; ".join(_gate(*each) for each in target.get("limits", {}).items()),
            )
            for target in targets
        ],
    )


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
