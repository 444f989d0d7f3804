"""Puts a worker process together: its membership, its agents' shards, its teams' shards."""

from __future__ import annotations

import asyncio
import importlib
import logging
from collections.abc import Iterable, Sequence
from typing import Any

import orjson

from folkmoot.agent_worker.handlers import Host, Runner
from folkmoot.agent_worker.metrics import WorkerMeasure
from folkmoot.agent_worker.settings import WorkerServiceSettings
from folkmoot.bus.ports import Bus, Topic
from folkmoot.contracts import subjects
from folkmoot.contracts.keys import partition_of
from folkmoot.contracts.topics import agent_topics, team_topics
from folkmoot.core.messages import Call, RegisterAgent, inbox, log
from folkmoot.core.tracing.workers import WorkerSpans
from folkmoot.core.worker import WorkerMachine, WorkerSettings
from folkmoot.runtime.candidacy import Candidacy, ElectedCandidacy, OpenCandidacy, Pace
from folkmoot.runtime.clock import Clock
from folkmoot.runtime.postbox import Postbox
from folkmoot.runtime.replica import Replica
from folkmoot.runtime.seat import Role, ShardName
from folkmoot.runtime.service import Service
from folkmoot.runtime.tracing import Tracing, tracing
from folkmoot.sdk.agent import Agent, Team, teams
from folkmoot.sdk.claims import Claims
from folkmoot.sdk.election.membership import Candidature, Membership, partitions_of
from folkmoot.sdk.errors import DefinitionError
from folkmoot.sdk.knowledge import Knowledge

NAME = "agent-worker"
HALTED_LOOK_S = 0.5
"""How soon a halted team is left: a fraction of what the next election takes."""

logger = logging.getLogger(__name__)


def load_agents(reference: str) -> list[Agent]:
    """Return the agents that `module:name` refers to: an Agent, or an iterable of them.

    Raises:
        DefinitionError: there is no such module or name, or it is something else.
    """
    module_name, _, name = reference.partition(":")
    if not module_name or not name:
        raise DefinitionError(f"{reference!r} does not say which agents: write MODULE:NAME")
    try:
        module = importlib.import_module(module_name)
    except ModuleNotFoundError as error:
        raise DefinitionError(f"cannot import {module_name!r}: {error}") from error
    found = getattr(module, name, None)
    agents = [found] if isinstance(found, Agent) else found
    listed = list(agents) if isinstance(agents, Iterable) else []
    if not listed or not all(isinstance(each, Agent) for each in listed):
        raise DefinitionError(f"{reference!r} is no Agent and no list of Agents")
    return listed


async def service(bus: Bus, settings: WorkerServiceSettings, clock: Clock) -> Service:
    """Return the worker process for the agents that the settings name."""
    return await worker(load_agents(settings.app), bus, settings, clock)


async def worker(
    agents: Sequence[Agent], bus: Bus, settings: WorkerServiceSettings, clock: Clock
) -> Service:
    """Return a service that hosts `agents` as one member of their teams.

    Raises:
        DefinitionError: the agents contradict each other.
        BadStore: the blob store that the settings name cannot be used.
        UnknownTopic: the services have never run on this bus.
        TopicMismatch: an agent's topics exist with another number of partitions.
    """
    grouped = teams(agents)
    member = settings.member()
    await _create_topics(bus, grouped)
    membership = Membership(
        bus,
        clock,
        member,
        settings.node,
        settings.session_ttl_ms,
        [_candidature(team, settings) for team in grouped],
        obliging=True,
    )
    await _register(bus, clock, member, grouped)
    knowledge = Knowledge(bus, member)
    traces = tracing(NAME, bus, settings, clock)
    builder = _Builder(bus, settings, clock, membership, knowledge, traces)
    replicas = [replica for team in grouped for replica in builder.replicas(team)]
    made = Service(
        NAME,
        bus,
        clock,
        replicas,
        jobs=(
            membership.listen,
            membership.keep_session,
            knowledge.run,
            builder.leave_what_is_halted,
            *traces.jobs,
        ),
        on_stop=membership.leave,
        measures=(WorkerMeasure(replicas, knowledge), traces.measure),
        on_stopped=traces.close,
        tracing=traces,
    )
    await knowledge.load()
    return made


def _candidature(team: Team, settings: WorkerServiceSettings) -> Candidature:
    return Candidature(
        team.name,
        tuple(sorted(team.agents)),
        settings.priority,
        settings.labels,
        settings.version,
    )


async def _create_topics(bus: Bus, grouped: Sequence[Team]) -> None:
    specs = [spec for team in grouped for spec in team_topics(team.name)]
    for team in grouped:
        for agent in team.agents.values():
            specs += agent_topics(agent.name, agent.partitions)
    await bus.log.create_topics([Topic(s.name, s.partitions, s.config) for s in specs])


async def _register(bus: Bus, clock: Clock, member: str, grouped: Sequence[Team]) -> None:
    """Tell the breaker where each agent's calls can go."""
    postbox = Postbox(bus, member, clock)
    topic = inbox("breaker-proxy")
    partitions = await partitions_of(bus, topic)
    for team in grouped:
        for agent in team.agents.values():
            size = (agent.partitions, agent.concurrency)
            steps, limits = tuple(agent.steps), agent.core_limits()
            message = RegisterAgent(agent.name, team.name, *size, steps, limits)
            shard = partition_of(agent.name, partitions)
            await postbox.send(topic, shard, message, agent.name)
    await postbox.close()


class _Builder:
    """Makes the replicas of one member."""

    def __init__(
        self,
        bus: Bus,
        settings: WorkerServiceSettings,
        clock: Clock,
        membership: Membership,
        knowledge: Knowledge,
        traces: Tracing,
    ) -> None:
        self._bus, self._settings, self._clock, self._traces = bus, settings, clock, traces
        self._membership, self._knowledge = membership, knowledge
        self._claims = Claims.on(bus.address)
        self._pace = Pace(settings.timing().ttl_ms)
        self._restoring = asyncio.Semaphore(settings.restores_max)
        self._team_replicas: dict[str, Replica[Any]] = {}

    def replicas(self, team: Team) -> list[Replica[Any]]:
        """Return the replicas of a team's own shard and of its agents' partitions."""
        host = Host(team, self._knowledge, self._clock, self._report, self._traces, self._claims)
        made = [self._team_replica(host)]
        for agent in team.agents.values():
            made += [self._agent_replica(host, agent, p) for p in range(agent.partitions)]
        return made

    def _team_replica(self, host: Host) -> Replica[Any]:
        team = host.team.name
        candidacy = ElectedCandidacy(
            self._membership.member, lambda: self._membership.granted(team)
        )
        replica = self._replica(f"team.{team}", 0, WorkerSettings(), host, candidacy)
        self._team_replicas[team] = replica
        return replica

    async def leave_what_is_halted(self) -> None:
        """Leave each team whose own shard is halted here, for whoever is elected has to lead it.

        The member joins again when it is started again, which is what mends a halted replica.
        """
        while self._team_replicas:
            for team, replica in list(self._team_replicas.items()):
                if replica.role is Role.HALTED:
                    await self._membership.withdraw(team)
                    logger.error("left team %s: %s", team, replica.last_error)
                    del self._team_replicas[team]
            await asyncio.sleep(HALTED_LOOK_S)

    def _agent_replica(self, host: Host, agent: Agent, partition: int) -> Replica[Any]:
        service = f"agent.{agent.name}"
        candidacy = OpenCandidacy(
            self._membership.member,
            f"{log(service)}/{partition}",
            self._settings.timing(),
            lambda: self._hosts(agent),
            pace=self._pace,
        )
        settings = WorkerSettings(concurrency=agent.concurrency)
        replica = self._replica(service, partition, settings, host, candidacy)
        candidacy.busy = lambda: replica.shard.state.running > 0
        return replica

    def _hosts(self, agent: Agent) -> Sequence[str]:
        """Return who can work for `agent`; of an election that does not say, all members."""
        hosts = self._membership.hosts(agent.team, agent.name)
        return hosts or self._membership.members(agent.team)

    def _replica(
        self,
        service: str,
        partition: int,
        settings: WorkerSettings,
        host: Host,
        candidacy: Candidacy,
    ) -> Replica[Any]:
        name = ShardName(service, log(service), (inbox(service),), partition)
        machine = WorkerMachine(service, self._membership.member, partition, settings)
        runner = Runner(
            host, lambda message: replica.submit(message), lambda: replica.shard.leadership.epoch
        )

        spans = WorkerSpans(self._traces.sampler, service, partition)
        recorder = self._traces.recorder(name.origin, spans)

        def on_role(role: Role) -> None:
            recorder.on_role(role)
            if role is not Role.LEADING:
                runner.abandon()

        replica = Replica(
            recorder.traced(machine),
            name,
            self._membership.member,
            self._bus,
            candidacy,
            self._clock,
            self._settings.timing(),
            on_local=recorder.performing(runner.perform),
            on_role=on_role,
            restoring=self._restoring,
            on_witnessed=recorder.on_witnessed,
        )
        return replica

    async def _report(self, call: Call, text: str) -> None:
        data = orjson.dumps({"saga_id": call.saga_id, "step_id": call.step_id, "text": text})
        await self._bus.gossip.publish(subjects.progress(call.saga_id), data)
