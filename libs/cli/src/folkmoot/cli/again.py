"""`folkmoot sagas fork` and `replay`: a saga once more, from where it was, or by today's code."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import RenderableType

from folkmoot.agent_worker.bootstrap import load_agents
from folkmoot.bus.ports import Bus
from folkmoot.cli.asking import history_of, work_of
from folkmoot.cli.connection import BusOption, JsonOption, TimeoutOption, WaitOption, run
from folkmoot.cli.output import EXIT_FAILED, EXIT_USAGE, CommandError, show, table
from folkmoot.cli.tasks import followed, read_json, report
from folkmoot.sdk.agent import Agent
from folkmoot.sdk.claims import CLAIM
from folkmoot.sdk.client import Client
from folkmoot.sdk.errors import CannotFork, DefinitionError
from folkmoot.sdk.forking import fork_of

SagaArgument = Annotated[str, typer.Argument(metavar="SAGA")]

Event = Mapping[str, Any]

SHORT_CHARS_MAX = 200
"""Of a value in a table; `--json` has all of it."""


def register(sagas: typer.Typer) -> None:
    """Add the commands to `folkmoot sagas`."""
    sagas.command("fork")(fork)
    sagas.command("replay")(replay)


def fork(
    saga_id: SagaArgument,
    at: Annotated[int, typer.Option("--at", metavar="N", min=1, help="After its first N events.")],
    patch: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE", help="JSON Merge Patch: `input`, or `steps` and `results` by step id."
        ),
    ] = None,
    key: Annotated[
        str | None, typer.Option(help="Idempotency key: forking again with it joins the same saga.")
    ] = None,
    wait: WaitOption = True,
    timeout: TimeoutOption = None,
    bus: BusOption = None,
    as_json: JsonOption = False,
) -> None:
    """Begin a new saga that goes on from where a saga was, as `sagas history` numbers its events.

    Steps that were done by then are not run again, and not undone if the fork fails: they are the
    other saga's. A step that the patch changes is run, with all that need it.

    Exit status: 0 if the fork completed, 3 if it failed and was undone, 1 otherwise.

    Example: folkmoot sagas fork SAGA --at 12 --patch cheaper-hotel.json
    """
    changes = None if patch is None else _patch(patch)

    async def forked(connected: Bus) -> dict[str, Any]:
        history = await history_of(connected, saga_id, at)
        async with Client.on(connected) as client:
            saga = await client.begin(fork_of(saga_id, history, changes), key)
            return await followed(saga, wait, timeout)

    try:
        outcome = run(forked, bus)
    except CannotFork as refused:
        raise CommandError(str(refused)) from refused
    report(outcome, as_json)


def _patch(file: Path) -> Mapping[str, Any]:
    patch = read_json(f"@{file}", "the patch")
    if not isinstance(patch, dict):
        raise CommandError(f"the patch in {file} is no JSON object", EXIT_USAGE)
    return patch


def replay(
    saga: Annotated[
        str,
        typer.Argument(
            metavar="SAGA|FILE", help="A saga, or a file that `sagas history --work --json` made."
        ),
    ],
    app: Annotated[
        list[str],
        typer.Option("--app", metavar="MODULE:APP", help="Today's code; may be repeated."),
    ],
    bus: BusOption = None,
    as_json: JsonOption = False,
) -> None:
    """Run a saga that has ended again with today's code, and say what comes out otherwise.

    Nothing in the world is touched: journaled calls and answers come from the recording. Needs
    folkmoot[replay].

    Exit status: 0 if nothing differs, 1 if something does.
    """
    try:
        agents = [agent for reference in app for agent in load_agents(reference)]
    except DefinitionError as error:
        raise CommandError(str(error), EXIT_USAGE) from error
    recorded = _read(Path(saga)) if Path(saga).is_file() else _fetch(saga, bus)
    if CLAIM in json.dumps(recorded):
        raise CommandError(
            "some of its values are in a blob store: a saga with such values cannot be replayed"
        )
    differences = _replayed(recorded, agents)
    show(differences, as_json, _differences)
    if differences:
        raise typer.Exit(EXIT_FAILED)


def _fetch(saga_id: str, bus: str | None) -> list[Event]:
    async def fetched(connected: Bus) -> list[Event]:
        return [*await history_of(connected, saga_id), *await work_of(connected, saga_id)]

    return run(fetched, bus)


def _read(file: Path) -> list[Event]:
    found = read_json(f"@{file}", "the history")
    if not isinstance(found, list) or not all(_is_event(each) for each in found):
        raise CommandError(
            f"{file} is no history: `folkmoot sagas history SAGA --work --json` makes one",
            EXIT_USAGE,
        )
    return found


def _is_event(value: object) -> bool:
    return isinstance(value, dict) and value.keys() >= {"stream", "offset", "at", "event"}


def _replayed(recorded: Sequence[Event], agents: Sequence[Agent]) -> list[dict[str, Any]]:
    try:
        from folkmoot.testing import History, simulate
        from folkmoot.testing import replay as run_again
    except ModuleNotFoundError as error:
        raise CommandError(f"replaying needs {error.name}: install folkmoot[replay]") from error
    try:
        differences = simulate(run_again(History.of_streams(recorded), agents))
    except AssertionError as problem:
        raise CommandError(str(problem)) from problem
    return [
        {"where": each.where, "recorded": each.recorded, "today": each.today}
        for each in differences
    ]


def _differences(found: Sequence[Mapping[str, Any]]) -> RenderableType:
    if not found:
        return "today's code does the same"
    rows = [(d["where"], _short(d["recorded"]), _short(d["today"])) for d in found]
    return table("", ("where", "recorded", "today"), rows)


def _short(value: Any) -> str:
    text = json.dumps(value, ensure_ascii=False)
    return text if len(text) <= SHORT_CHARS_MAX else f"{text[: SHORT_CHARS_MAX - 1]}…"
