"""`folkmoot access`: who may do what on Kafka, shown, or set by an administrator."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated

import typer
from rich.console import RenderableType

from folkmoot.bus.addresses import Brokers, parse
from folkmoot.bus.ports import BusError
from folkmoot.cli.connection import BusOption, JsonOption, address
from folkmoot.cli.output import EXIT_USAGE, CommandError, show, table
from folkmoot.cli.topics import loaded
from folkmoot.contracts.access import USERS, Cast, Grant, kafka_grants
from folkmoot.runtime.settings import BusSettings

access = typer.Typer(help="Show who may do what on Kafka, or set it.", no_args_is_help=True)

AppOption = Annotated[
    list[str] | None,
    typer.Option("--app", metavar="MODULE:APP", help="Agents there are; may be repeated."),
]


@access.command("show")
def show_access(app: AppOption = None, as_json: JsonOption = False) -> None:
    """Show what each user may do, as the registry of topics says."""
    rows = [
        {"user": user, "resource": g.resource, "name": g.name, "operations": list(g.operations)}
        for user, grants in _grants(app or ()).items()
        for g in grants
    ]
    show(rows, as_json, _shown)


def _shown(rows: Sequence[Mapping[str, str]]) -> RenderableType:
    cells = [(r["user"], r["resource"], r["name"], ", ".join(r["operations"])) for r in rows]
    return table("access", ("user", "", "name", "may"), cells)


@access.command("set")
def set_access(
    passwords: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="JSON with a password for each user that gets one."),
    ] = None,
    app: AppOption = None,
    bus: BusOption = None,
    as_json: JsonOption = False,
) -> None:
    """Let each user do what the registry says, and no more. Doing it again changes nothing.

    Takes an administrator, who signs in with FOLKMOOT_BUS_USER and the like. Agents that are not
    named lose their grants: name all that there are.
    """
    place = parse(address(bus))
    if not isinstance(place, Brokers):
        raise CommandError("an embedded file asks nobody who they are", EXIT_USAGE)
    words = {} if passwords is None else json.loads(passwords.read_text())
    try:
        added, taken = asyncio.run(_set(place.kafka, words, _grants(app or ())))
    except BusError as error:
        raise CommandError(str(error)) from error
    summary = {"added": added, "taken": taken}
    show(summary, as_json, lambda _: f"{added} lines were added, {taken} taken away")


async def _set(
    servers: tuple[str, ...], passwords: Mapping[str, str], grants: Mapping[str, Sequence[Grant]]
) -> tuple[int, int]:
    from folkmoot.bus.kafka import access as of_kafka
    from folkmoot.bus.kafka.brokers import Brokers as Servers

    brokers = Servers(servers, BusSettings().credentials().kafka())
    return await of_kafka.set_access(brokers, passwords, grants)


def _grants(apps: Sequence[str]) -> dict[str, Sequence[Grant]]:
    teams, agents = loaded(apps)
    cast = Cast(tuple(agent.name for agent in agents), tuple(team.name for team in teams))
    return {user: kafka_grants(user, cast) for user in USERS}
