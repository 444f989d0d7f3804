"""`folkmoot topics`: make the topics that services and agents need, before any of them runs."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Annotated

import typer

from folkmoot.bus import connect
from folkmoot.bus.ports import Bus, BusError, BusUnavailable, Topic
from folkmoot.cli.connection import BusOption, JsonOption, address
from folkmoot.cli.output import EXIT_USAGE, CommandError, show
from folkmoot.contracts.topics import TopicSpec, agent_topics, service_topics, team_topics
from folkmoot.runtime.settings import BusSettings
from folkmoot.sdk.agent import Agent, Team, teams
from folkmoot.sdk.errors import DefinitionError

topics = typer.Typer(help="Make the topics, or see whether they are right.", no_args_is_help=True)

LOOK_AGAIN_S = 0.5


@topics.callback()
def _group() -> None:
    """Make the topics, or see whether they are right."""


@topics.command("create")
def create(
    app: Annotated[
        list[str] | None,
        typer.Option(metavar="MODULE:APP", help="Agents to make topics for; may be repeated."),
    ] = None,
    partitions: Annotated[
        int,
        typer.Option(
            min=1,
            envvar="FOLKMOOT_PARTITIONS",
            help="Shards of each service; fixed once the topics exist.",
        ),
    ] = 2,
    wait: Annotated[
        float, typer.Option(metavar="SECONDS", help="How long to wait for the brokers.")
    ] = 0.0,
    bus: BusOption = None,
    as_json: JsonOption = False,
) -> None:
    """Make what is missing, and refuse what would lose history. Doing it again changes nothing.

    A topic that exists is never altered: if its partitions or its settings are not what the
    services need, the command says which, and fails.
    """
    specs = service_topics(partitions) + _of_agents(app or ())
    made = asyncio.run(_create(address(bus), specs, wait))
    summary = {"topics": len(specs), "made": made}
    show(summary, as_json, lambda _: f"{len(specs)} topics are there, {len(made)} of them new")


def _of_agents(references: Sequence[str]) -> list[TopicSpec]:
    found, agents = loaded(references)
    specs = [spec for team in found for spec in team_topics(team.name)]
    for agent in agents:
        specs += agent_topics(agent.name, agent.partitions)
    return specs


def loaded(references: Sequence[str]) -> tuple[list[Team], list[Agent]]:
    """Return the teams and agents that MODULE:APP refer to.

    Raises:
        CommandError: they do not refer to agents, or to such that contradict each other.
    """
    from folkmoot.agent_worker.bootstrap import load_agents

    try:
        agents = [each for name in references for each in load_agents(name)]
        return teams(agents), agents
    except DefinitionError as error:
        raise CommandError(str(error), EXIT_USAGE) from error


async def _create(where: str, specs: Sequence[TopicSpec], wait_s: float) -> list[str]:
    """Create the topics; return the names of those that were missing."""
    try:
        bus = await _connected(where, wait_s)
        try:
            before = await bus.log.topics()
            await bus.log.create_topics([Topic(s.name, s.partitions, s.config) for s in specs])
        finally:
            await bus.close()
    except BusError as error:
        raise CommandError(str(error)) from error
    return sorted(spec.name for spec in specs if spec.name not in before)


async def _connected(where: str, wait_s: float) -> Bus:
    """Connect, giving brokers that have just been started `wait_s` to answer."""
    loop = asyncio.get_running_loop()
    until = loop.time() + wait_s
    while True:
        try:
            return await connect(where, credentials=BusSettings().credentials())
        except BusUnavailable:
            if loop.time() >= until:
                raise
        await asyncio.sleep(LOOK_AGAIN_S)
