"""`folkmoot up`, `down`, `status`, `service`, `worker`, `doctor`: run the platform."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import RenderableType
from rich.markup import escape

from folkmoot.bus import BusError, connect
from folkmoot.cli.connection import JsonOption
from folkmoot.cli.output import EXIT_FAILED, EXIT_USAGE, CommandError, console, moment, show, table
from folkmoot.cli.platform import MODULES, local_address, options_for
from folkmoot.contracts.topics import service_topics
from folkmoot.local import doctor as examining
from folkmoot.local import events, logs
from folkmoot.local.errors import LocalError
from folkmoot.local.up import DATA_DIR, FIRST_HEALTH_PORT, KAFKA_PORT, NATS_PORT
from folkmoot.local.up import down as take_down
from folkmoot.local.up import status as look_at
from folkmoot.local.up import up as bring_up
from folkmoot.runtime.settings import BusSettings

DataOption = Annotated[
    Path, typer.Option("--data", help="Where everything is kept; delete it to start afresh.")
]


def up(
    data: DataOption = DATA_DIR,
    kafka_port: Annotated[int, typer.Option(help="Port of Kafka.")] = KAFKA_PORT,
    nats_port: Annotated[int, typer.Option(help="Port of NATS.")] = NATS_PORT,
    http_port: Annotated[
        int, typer.Option(help="First port for health and metrics; the others follow.")
    ] = FIRST_HEALTH_PORT,
    partitions: Annotated[
        int, typer.Option(min=1, help="Shards of each service; fixed once the data exist.")
    ] = 2,
    worker: Annotated[
        list[str] | None,
        typer.Option("--worker", metavar="MODULE:APP", help="Run a member too; may be repeated."),
    ] = None,
) -> None:
    """Start real Kafka and NATS on loopback, and every service as its own process.

    Follows their logs until Ctrl-C, then stops all cleanly. Needs the extra `folkmoot[local]`; a
    Java or Kafka of your own is used if FOLKMOOT_JAVA or FOLKMOOT_KAFKA_HOME names it.
    """
    chosen = options_for(data, kafka_port, nats_port, http_port, partitions, worker or ())
    try:
        asyncio.run(_up(chosen))
    except LocalError as error:
        raise CommandError(str(error)) from error


async def _up(options: Any) -> None:
    running = await bring_up(options, _tell)
    console.print(_running(running.processes))
    console.print(
        f"\nbus: [bold]{options.bus}[/]\nCtrl-C stops everything. "
        "In another terminal: `folkmoot demo --bus local`, `folkmoot status`."
    )
    following = asyncio.create_task(_follow(running.logs))
    died = await running.hold()
    following.cancel()
    if died is not None:
        lines = "\n  ".join(died.last_lines)
        raise CommandError(
            f"{died.name} ended with status {died.status}; all is stopped\n  {lines}"
        )


async def _follow(paths: dict[str, Path]) -> None:
    async for each in logs.follow(paths):
        console.print(f"[dim]{each.name:>18}[/] {escape(each.text)}", markup=True, soft_wrap=True)


def _tell(event: events.Event) -> None:
    match event:
        case events.Downloading(done, total):
            if done in (0, total):
                console.print(f"Kafka's jars: {done / 2**20:.0f} of {total / 2**20:.0f} MiB")
        case events.Ready(name, address, took_ms):
            console.print(f"[green]ready[/] {name} on {address} [dim]after {took_ms} ms[/]")
        case events.Stopped(name, killed):
            console.print(f"stopped {name}{' [yellow](killed)[/]' if killed else ''}")
        case events.LeftoversStopped(names):
            console.print(f"stopped what an earlier run had left: {', '.join(names)}")


def _running(processes: Sequence[Any]) -> RenderableType:
    rows = [(p.name, p.address, p.pid, p.log) for p in processes]
    return table("running", ("name", "address", "pid", "log"), rows)


def down(data: DataOption = DATA_DIR) -> None:
    """Stop what `folkmoot up` started, from any terminal."""
    names = asyncio.run(take_down(data, _tell))
    console.print(f"stopped {', '.join(names)}" if names else "nothing was running")


def status(data: DataOption = DATA_DIR, as_json: JsonOption = False) -> None:
    """Show what `folkmoot up` runs and whether it is ready. Exit status 1 if something is not."""
    found = asyncio.run(look_at(data))
    show([asdict(each) | {"log": str(each.log)} for each in found], as_json, _statuses)
    if any(each.phase != "ready" for each in found):
        raise typer.Exit(EXIT_FAILED)


def _statuses(found: Sequence[dict[str, Any]]) -> RenderableType:
    if not found:
        return "nothing is running here; `folkmoot up` starts it"
    styles = {"ready": "green", "not ready": "yellow", "dead": "red"}
    rows = [
        (
            each["name"],
            f"[{styles[each['phase']]}]{each['phase']}[/]",
            each["address"],
            each["pid"],
            moment(each["started_at"]),
            each["log"],
        )
        for each in found
    ]
    return table("processes", ("name", "state", "address", "pid", "since", "log"), rows)


def service(
    name: Annotated[str, typer.Argument(help=f"One of: {', '.join(MODULES)}.")],
) -> None:
    """Run one service in this process, as a container would; settings come from FOLKMOOT_*."""
    if name not in MODULES:
        raise CommandError(f"{name!r} is none of: {', '.join(MODULES)}", EXIT_USAGE)
    if "FOLKMOOT_BUS" not in os.environ and (running := local_address()) is not None:
        os.environ["FOLKMOOT_BUS"] = running
    raise typer.Exit(_run(MODULES[name]))


def _run(module: str) -> int:
    from importlib import import_module

    status: int = import_module(f"{module}.__main__").main()
    return status


def worker(
    app: Annotated[str, typer.Argument(metavar="MODULE:APP", help="An Agent, or a list of them.")],
    bus: Annotated[
        str | None, typer.Option("--bus", metavar="ADDRESS", help="The bus to work on.")
    ] = None,
    name: Annotated[str | None, typer.Option(help="What to call this member.")] = None,
) -> None:
    """Run a member of your team in this process: it hosts the agents of MODULE:APP.

    Any number of members may run, here or elsewhere; one of them is elected to plan.

    Example: folkmoot worker folkmoot.dossier.agents:agents
    """
    from folkmoot.agent_worker.bootstrap import load_agents
    from folkmoot.sdk.errors import DefinitionError

    try:
        load_agents(app)
    except DefinitionError as error:
        raise CommandError(str(error), EXIT_USAGE) from error
    os.environ["FOLKMOOT_APP"] = app
    os.environ.setdefault("FOLKMOOT_HTTP_PORT", "0")
    found = bus or os.environ.get("FOLKMOOT_BUS") or local_address()
    if found is not None:
        os.environ["FOLKMOOT_BUS"] = found
    if name is not None:
        os.environ["FOLKMOOT_NODE"] = name
    raise typer.Exit(_run(MODULES["agent-worker"]))


def doctor(data: DataOption = DATA_DIR, as_json: JsonOption = False) -> None:
    """Say what is missing or misconfigured on this machine, and how to mend it.

    Exit status 1 if something has to be mended.
    """
    findings = asyncio.run(examining.examine(options_for(data), [_topics]))
    show([asdict(each) for each in findings], as_json, _findings)
    if not all(each.ok for each in findings):
        raise typer.Exit(EXIT_FAILED)


async def _topics() -> examining.Finding:
    """Check that the topics that exist keep history."""
    address = local_address()
    if address is None:
        return examining.Finding("topics", True, "not looked at: nothing runs here")
    bus = await connect(address, credentials=BusSettings().credentials())
    try:
        existing = await bus.log.topics()
        missing = [spec.name for spec in service_topics(1) if spec.name not in existing]
    except BusError as error:
        return examining.Finding("topics", False, str(error), "see the log of Kafka")
    finally:
        await bus.close()
    if missing:
        what = f"{len(missing)} topics are missing, such as {missing[0]}"
        return examining.Finding("topics", False, what, "start the services once: `folkmoot up`")
    return examining.Finding("topics", True, f"all {len(existing)} are there")


def _findings(findings: Sequence[dict[str, Any]]) -> RenderableType:
    rows = [
        (
            "[green]ok[/]" if each["ok"] else "[red]mend[/]",
            each["name"],
            each["what"],
            each["mend"],
        )
        for each in findings
    ]
    return table("doctor", ("", "check", "found", "what to do"), rows)
