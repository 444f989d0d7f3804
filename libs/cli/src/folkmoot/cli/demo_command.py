"""`folkmoot demo`: what it takes on the command line, and what it says at the end."""

from __future__ import annotations

import asyncio
import json
import os
from pathlib import Path
from typing import Annotated, Any

import typer

from folkmoot.bus import BusError
from folkmoot.cli.demo.options import DemoOptions
from folkmoot.cli.output import (
    EXIT_COMPENSATED,
    EXIT_FAILED,
    EXIT_USAGE,
    CommandError,
    console,
)
from folkmoot.local.errors import LocalError

KILLS, FAILS = ("leader", "worker"), ("write", "verify")


def demo(
    out: Annotated[Path, typer.Option(help="Where the report goes.")] = Path("dossier"),
    kill: Annotated[
        str | None,
        typer.Option(metavar="leader|worker", help="Crash that member while steps run."),
    ] = None,
    late: Annotated[
        bool, typer.Option("--late", help="Crash it near the end of a step, not at its start.")
    ] = False,
    fail: Annotated[
        str | None,
        typer.Option(metavar="write|verify", help="Let that step fail, and see all undone."),
    ] = None,
    flaky: Annotated[
        bool, typer.Option("--flaky", help="Let an agent fail 60 % of its calls.")
    ] = False,
    bus: Annotated[
        str,
        typer.Option(
            metavar="embedded|local|ADDRESS",
            help="In this process; on real Kafka and NATS here; or on brokers elsewhere, "
            "where the services run.",
        ),
    ] = "embedded",
    join: Annotated[
        bool,
        typer.Option("--join", help="Let the members that run there do it; start none here."),
    ] = False,
    resume: Annotated[
        bool, typer.Option("--resume", help="Go on with the demo that was interrupted.")
    ] = False,
    data: Annotated[Path, typer.Option(help="Where its log is kept.")] = Path(".folkmoot"),
    json_file: Annotated[
        Path | None, typer.Option("--json", metavar="FILE", help="Write what happened to FILE.")
    ] = None,
) -> None:
    """Run the main job: a dossier of everything installed in this environment.

    Five services elect a leader, which plans; agents read every distribution's metadata in
    parallel, conclude, write a report, and check each of its claims against its source. What goes
    wrong is retried, moved to another member, or undone.

    Exit status: 0 if the report is there, 3 if everything was undone, 1 otherwise.
    """
    from folkmoot.cli.demo.run import perform

    options = DemoOptions(
        out, _one_of("--kill", kill, KILLS), late, _one_of("--fail", fail, FAILS), flaky, resume,
        data, bus, json_file, join,
    )  # fmt: skip
    if join and (bus == "embedded" or kill is not None):
        why = "members elsewhere cannot be killed from here" if kill else "nobody runs there"
        raise CommandError(f"--join does not go with this: {why}", EXIT_USAGE)
    try:
        outcome = asyncio.run(perform(options))
    except (BusError, LocalError, TimeoutError) as error:
        raise CommandError(str(error)) from error
    except KeyboardInterrupt:
        console.print("\ninterrupted; `folkmoot demo --resume` goes on with it")
        raise typer.Exit(EXIT_FAILED) from None
    if json_file is not None:
        json_file.write_text(json.dumps(outcome.to_json(), indent=2))
    _conclude(outcome, options)


def _one_of(option: str, value: str | None, allowed: tuple[str, ...]) -> Any:
    if value is not None and value not in allowed:
        raise CommandError(f"{option} is {' or '.join(allowed)}, not {value!r}", EXIT_USAGE)
    return value


def _conclude(outcome: Any, options: DemoOptions) -> None:
    """Say in a few lines what came of it."""
    view = outcome.view
    console.print()
    if view.state == "completed":
        for number, sentence in enumerate(view.result["findings"], 1):
            console.print(f"[bold]{number}.[/] {sentence}", soft_wrap=True)
        console.print(f"\nreport   [bold]{_nearest(view.result['html'])}[/] (and .md beside it)")
        console.print(f"verified {view.result['verified']} citations, all hold")
    else:
        console.print(f"[bold yellow]{view.state}[/]: {view.failure}", soft_wrap=True)
        undone = f"undone in reverse order: {', '.join(view.compensations)}. "
        console.print(f"{undone if view.compensations else ''}There is no report.")
    where = "" if options.bus == "embedded" else f" --bus {options.bus}"
    console.print(f"history  folkmoot events read saga-{view.saga_id}{where}", style="dim")
    if view.state != "completed":
        undone_as_a_whole = view.state == "compensated"
        raise typer.Exit(EXIT_COMPENSATED if undone_as_a_whole else EXIT_FAILED)


def _nearest(path: str) -> str:
    """Return the path as it is shortest to type from here."""
    relative = os.path.relpath(path)
    return relative if len(relative) < len(path) else path
