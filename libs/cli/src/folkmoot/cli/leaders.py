"""`folkmoot leaders` and `folkmoot team`: who leads, who did, and who is wanted."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict
from typing import Annotated, Any

import typer
from rich.console import Group, RenderableType
from rich.text import Text

from folkmoot.bus.ports import Bus
from folkmoot.cli.connection import BusOption, JsonOption, ask_shard, run
from folkmoot.cli.output import EXIT_USAGE, CommandError, console, moment, show, table
from folkmoot.cli.streams import read_stream
from folkmoot.contracts.keys import partition_of
from folkmoot.core.messages import ConfigureTeam, Leader, Policy, inbox
from folkmoot.runtime.clock import SystemClock
from folkmoot.sdk.election.configuring import configure_team
from folkmoot.sdk.election.leaders import follow_leaders, read_leaders
from folkmoot.sdk.errors import ElectionRefused
from folkmoot.sdk.queries import partition_count

NOBODY = "[red]nobody[/]"
HEADINGS = ("team", "leader", "epoch", "since", "reason", "members", "asked to follow")
UNTOLD = "folkmoot.leader-confirmed.v1"
"""Not shown in a history: it says that nothing about the leader changed."""


def leaders(
    team: Annotated[
        str | None, typer.Argument(metavar="[TEAM]", help="Only this team, and its members.")
    ] = None,
    watch: Annotated[
        bool, typer.Option("--watch", "-w", help="Go on, and print every change as it comes.")
    ] = False,
    history: Annotated[
        bool, typer.Option("--history", help="Print who led TEAM, from when on, and why.")
    ] = False,
    bus: BusOption = None,
    as_json: JsonOption = False,
) -> None:
    """Show who leads each team, since when, in which epoch, and why.

    The epoch is the fencing token: whoever acts on a leader's word may refuse one that comes with
    a lower epoch than it has seen. With --watch --json each change is one line of JSON.
    """
    if history and (watch or team is None):
        raise CommandError("--history goes with a TEAM, and without --watch", EXIT_USAGE)
    if watch:
        with contextlib.suppress(KeyboardInterrupt):
            run(lambda connected: _watch(connected, team, as_json), bus)
    elif history:
        show(run(lambda connected: _history(connected, str(team)), bus), as_json, _told)
    elif team is not None:
        show(run(lambda connected: _describe(connected, str(team)), bus), as_json, _described)
    else:
        show(run(_list, bus), as_json, _listed)


async def _list(bus: Bus) -> list[dict[str, Any]]:
    found = await read_leaders(bus)
    return [asdict(found[name]) for name in sorted(found)]


def _listed(found: Iterable[Mapping[str, Any]]) -> RenderableType:
    return table("leaders", HEADINGS, [_row(each) for each in found])


def _row(team: Mapping[str, Any]) -> tuple[object, ...]:
    return (
        team["team"],
        team["leader"] or NOBODY,
        team["epoch"],
        moment(team["since"]),
        team["reason"],
        len(team["members"]),
        team["successor"],
    )


async def _watch(bus: Bus, team: str | None, as_json: bool) -> None:
    async for leader in follow_leaders(bus):
        if team in (None, leader.team):
            _print_change(leader, as_json)


def _print_change(leader: Leader, as_json: bool) -> None:
    if as_json:
        print(json.dumps(asdict(leader)), flush=True)
        return
    _, leads, epoch, since, reason, members, successor = _row(asdict(leader))
    asked = f", asked to hand over to {successor}" if successor else ""
    console.print(
        f"{since}  [bold]{leader.team}[/]  {leads}  epoch {epoch}  {reason}, "
        f"{members} members{asked}",
        soft_wrap=True,
    )


async def _describe(bus: Bus, team: str) -> dict[str, Any]:
    shard = partition_of(team, await partition_count(bus, inbox("election")))
    found = await ask_shard(bus, "election", shard, {"op": "show", "team": team})
    return {"team": team, **found}


def _described(team: Mapping[str, Any]) -> RenderableType:
    rows = [
        (
            member["member"],
            member["node"],
            "yes" if member["candidate"] else "no",
            member["priority"],
            member["version"],
            ", ".join(f"{name}={value}" for name, value in member["labels"].items()),
            ", ".join(member["agents"]),
        )
        for member in team["members"]
    ]
    headings = ("member", "node", "candidate", "priority", "version", "labels", "agents")
    return Group(_listed([team]), Text(_rules(team["rules"])), table("members", headings, rows))


def _rules(rules: Mapping[str, Any]) -> str:
    said = [f"policy {rules['policy']}"]
    if rules["preferred"]:
        said.append(f"prefers {', '.join(rules['preferred'])}")
    said += [f"only {name}={value}" for name, value in rules["labels"].items()]
    if rules["version_min"]:
        said.append(f"only version {rules['version_min']} or later")
    if rules["policy"] != "sticky":
        said.append(f"after {rules['tenure_ms_min'] / 1000:g} s in peace")
    return "; ".join(said)


async def _history(bus: Bus, team: str) -> list[Mapping[str, Any]]:
    events = await read_stream(bus, f"team-{team}", None)
    return [event for event in events if event["event"]["type"] != UNTOLD]


def _told(events: Sequence[Mapping[str, Any]]) -> RenderableType:
    rows = [(moment(each["at"]), each["offset"], *_said(each["event"])) for each in events]
    return table("", ("at", "epoch", "what", "who", "why"), rows)


def _said(event: Mapping[str, Any]) -> tuple[str, str, str]:
    """Return what happened, to whom, and why."""
    data = event["data"]
    what = event["type"].removeprefix("folkmoot.").removesuffix(".v1")
    who = data.get("leader", data.get("successor", data.get("member", ""))) or NOBODY
    if what == "team-configured":
        return what, data["actor"], _rules(data)
    return what, "" if what == "team-founded" else who, data.get("reason", "")


def team(
    name: Annotated[str, typer.Argument(metavar="TEAM")],
    policy: Annotated[
        str,
        typer.Option(
            metavar="POLICY",
            help="sticky: who leads stays. priority: the highest priority. preferred: the node "
            "that was named first.",
        ),
    ] = "sticky",
    prefer: Annotated[
        list[str] | None,
        typer.Option(metavar="NODE", help="A node, the most wanted first. Repeat it for more."),
    ] = None,
    label: Annotated[
        list[str] | None,
        typer.Option(metavar="NAME=VALUE", help="Only members with this label may lead."),
    ] = None,
    version: Annotated[
        str, typer.Option(metavar="N.N.N", help="Only members of this version or later may lead.")
    ] = "",
    tenure: Annotated[
        float, typer.Option(metavar="SECONDS", help="How long a new leader is left in peace.")
    ] = 10.0,
    bus: BusOption = None,
) -> None:
    """Say whom a team wants as its leader. Replaces all that was said of it before.

    Nobody is deposed: a leader is asked to hand over to one that is wanted more, and does when its
    work allows.
    """
    if policy not in ("sticky", "priority", "preferred"):
        raise CommandError(f"{policy!r} is none of: sticky, priority, preferred", EXIT_USAGE)
    wanted: Policy = policy  # type: ignore[assignment]
    nodes = tuple(prefer or ())
    tenure_ms = round(tenure * 1000)
    rules = ConfigureTeam(name, wanted, nodes, _labels(label or ()), version, tenure_ms, "cli")
    try:
        run(lambda connected: configure_team(connected, rules, SystemClock()), bus)
    except ElectionRefused as refused:
        raise CommandError(str(refused)) from refused
    console.print(f"team {name}: {_rules(asdict(rules))}")


def _labels(given: Sequence[str]) -> dict[str, str]:
    pairs = [each.partition("=") for each in given]
    wrong = [name for name, equals, _ in pairs if not equals]
    if wrong:
        raise CommandError(f"{wrong[0]!r} is no label: write NAME=VALUE", EXIT_USAGE)
    return {name: value for name, _, value in pairs}
