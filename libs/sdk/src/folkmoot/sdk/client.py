"""The user's side: submit tasks, follow sagas, take results.

A client is an outsider: what it sends may be repeated, so a task carries an idempotency key and
joins the saga that the key began; what it receives is told apart by CloudEvents source and id.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

from pydantic import TypeAdapter

from folkmoot.bus import connect
from folkmoot.bus.ports import Bus
from folkmoot.contracts.envelope import saga_id_of
from folkmoot.contracts.keys import partition_of
from folkmoot.core.event_store import AppendAnswer, announcement_subject
from folkmoot.core.messages import (
    TASKS,
    Append,
    NewEvent,
    Task,
    inbox,
)
from folkmoot.core.saga import ControlAnswer
from folkmoot.core.saga import announcement_subject as control_subject
from folkmoot.core.shares import DEFAULT_SHARE, Priority, Share
from folkmoot.runtime.clock import Clock, SystemClock
from folkmoot.runtime.postbox import Postbox
from folkmoot.runtime.propagation import current_traceparent
from folkmoot.runtime.service import QueryError
from folkmoot.runtime.settings import BusSettings
from folkmoot.sdk.asking import Question, decided
from folkmoot.sdk.claims import Claims
from folkmoot.sdk.election.candidate import SESSION_TTL_MS, Candidate
from folkmoot.sdk.election.membership import Candidature
from folkmoot.sdk.election.team import ElectedTeam
from folkmoot.sdk.errors import ControlRefused, NoAnswer, VersionConflict
from folkmoot.sdk.listing import Filter, Place, SagaPage, merged
from folkmoot.sdk.outcomes import Outcomes
from folkmoot.sdk.queries import ask, ask_dated, partition_count
from folkmoot.sdk.saga import Control
from folkmoot.sdk.saga import Saga as Saga
from folkmoot.sdk.steps import Budget, to_json

DEFAULT_BUS = "kafka://127.0.0.1:9092?nats=nats://127.0.0.1:4222"
SOURCE = "/folkmoot/client"
"""The CloudEvents source of tasks submitted with this client; with the key it makes the saga."""

ANY_VERSION = -1
"""Of a stream to append to: whatever version it has."""

_ANSWER: TypeAdapter[AppendAnswer] = TypeAdapter(AppendAnswer)
_CONTROLLED: TypeAdapter[ControlAnswer] = TypeAdapter(ControlAnswer)

EVENTS_PAGE = 200


class Client:
    """Connects user programs to a running Folkmoot."""

    def __init__(
        self,
        bus: Bus,
        clock: Clock | None = None,
        *,
        node: str | None = None,
        session_ttl_ms: int = SESSION_TTL_MS,
    ) -> None:
        self.bus = bus
        self._clock = clock or SystemClock()
        self._node, self._session_ttl_ms = node, session_ttl_ms
        self._candidate: Candidate | None = None
        self._postbox = Postbox(bus, SOURCE, self._clock)
        self.outcomes = Outcomes(bus)
        """How sagas end, for their handles."""
        self.claims = Claims.on(bus.address)
        """Where values go that are too large for the log."""

    @classmethod
    @contextlib.asynccontextmanager
    async def connect(
        cls,
        address: str | None = None,
        *,
        node: str | None = None,
        session_ttl_ms: int = SESSION_TTL_MS,
    ) -> AsyncIterator[Client]:
        """Connect to a bus; `FOLKMOOT_BUS` if `address` is left out.

        `node` (this host, by default) and `session_ttl_ms` matter to those who use `team`.

        Raises:
            BusUnavailable: nothing answers there.
        """
        where = address or os.environ.get("FOLKMOOT_BUS", DEFAULT_BUS)
        bus = await connect(where, credentials=BusSettings().credentials())
        try:
            async with cls.on(bus, node=node, session_ttl_ms=session_ttl_ms) as client:
                yield client
        finally:
            await bus.close()

    @classmethod
    @contextlib.asynccontextmanager
    async def on(
        cls,
        bus: Bus,
        clock: Clock | None = None,
        *,
        node: str | None = None,
        session_ttl_ms: int = SESSION_TTL_MS,
    ) -> AsyncIterator[Client]:
        """Use a bus that is already connected, and leave it so."""
        client = cls(bus, clock, node=node, session_ttl_ms=session_ttl_ms)
        try:
            yield client
        finally:
            await client._stop()

    def now(self) -> int:
        """Return the time, in milliseconds since the epoch, as this client has it."""
        return self._clock.now()

    # -- tasks ------------------------------------------------------------------------------

    async def submit(
        self,
        team: str,
        task: object,
        *,
        idempotency_key: str | None = None,
        budget: Budget | None = None,
        definition: str = "",
        plan_hash: str = "",
        tenant: str = "",
        priority: Priority = "normal",
    ) -> Saga:
        """Publish a task for `team`. The same key joins the saga that it began before.

        `definition` names one of the team's sagas. With `plan_hash`, as the state of an earlier
        saga shows it, only that very plan is run: what a deploy has changed is refused. Where its
        steps have to wait, tenants get equal shares, and a higher `priority` a larger one.

        If this is called within a span of OpenTelemetry, the saga's trace is part of that one's.

        Returns:
            The saga's handle, when the task is durable.

        Raises:
            TooLarge: the task is over the limit, and there is no blob store to put it into.
            BlobError: there is one, and it does not take it.
            NoAnswer: Folkmoot has never been started on this bus.
        """
        limits = None if budget is None else budget.to_core()
        share = Share(tenant, priority)
        wanted = Task(
            team,
            await self.claims.packed(to_json(task)),
            budget=limits,
            definition=definition,
            plan_hash=plan_hash,
            share=None if share == DEFAULT_SHARE else share,
        )
        return await self.begin(wanted, idempotency_key)

    async def begin(self, task: Task, idempotency_key: str | None = None) -> Saga:
        """Publish a task as it is, and return its saga's handle; see `submit`."""
        key = idempotency_key or os.urandom(12).hex()
        partition = partition_of(key, await partition_count(self.bus, TASKS))
        saga_id = saga_id_of(SOURCE, key)
        await self.outcomes.listen()
        expected = self.outcomes.expect(saga_id) if idempotency_key is None else None
        traced = replace(task, traceparent=current_traceparent())
        await self._postbox.send(TASKS, partition, traced, key, event_id=key)
        return Saga(self, saga_id, partition, expected)

    async def saga(self, saga_id: str) -> Saga:
        """Return the handle of a saga known by its id only.

        Raises:
            NoAnswer: no shard of the orchestrator knows it, or one does not answer.
        """
        for partition in range(await partition_count(self.bus, inbox("saga-orchestrator"))):
            saga = Saga(self, saga_id, partition)
            with contextlib.suppress(QueryError):
                await saga.state()
                await self.outcomes.listen()
                return saga
        raise NoAnswer(f"there is no saga {saga_id}; `folkmoot sagas ls` lists what there is")

    async def sagas(
        self, wanted: Filter | None = None, *, limit: int = 50, after: Place | None = None
    ) -> SagaPage:
        """Return a page of the sagas that are open or ended lately, newest first.

        `after` is the `following` of the page before.

        Raises:
            NoAnswer: a shard of the orchestrator does not answer.
        """
        service, wanted = "saga-orchestrator", wanted or Filter()
        partitions = range(await partition_count(self.bus, inbox(service)))
        request = wanted.request(limit, after)
        answers = [ask_dated(self.bus, service, each, request) for each in partitions]
        return merged(await asyncio.gather(*answers), limit)

    async def control(self, saga: Saga, request: Control, timeout_s: float = 10) -> None:
        """Ask something of a saga, and return when it is decided.

        Raises:
            ControlRefused: it does not fit the saga as it is.
            NoAnswer: the answer did not come in time, so it may or may not have been decided.
        """
        request = replace(request, request_id=request.request_id or os.urandom(12).hex())
        request_id, shard = request.request_id, saga.partition
        query = {"op": "control", "request_id": request_id}
        subject = control_subject(request_id)
        question = Question(request_id, subject, _CONTROLLED, "saga-orchestrator", shard, query)

        async def send() -> None:
            topic = inbox("saga-orchestrator")
            await self._postbox.send(topic, shard, request, saga.saga_id, request_id)

        answer = await decided(self.bus, question, send, timeout_s)
        if answer.failure is not None:
            raise ControlRefused(saga.saga_id, answer.failure.kind, answer.failure.detail)

    # -- elections --------------------------------------------------------------------------

    def team(
        self,
        name: str,
        *,
        priority: int = 0,
        labels: Mapping[str, str] | None = None,
        version: str = "",
    ) -> ElectedTeam:
        """Return a team to lead, or to watch, without any agents: `async with team.leadership()`.

        All teams of a client share one session. `priority`, `labels` and `version` (numbers and
        dots) are what the team's rules may ask of its leader.
        """
        if self._candidate is None:
            self._candidate = Candidate(
                self.bus, self._clock, node=self._node, session_ttl_ms=self._session_ttl_ms
            )
        candidature = Candidature(name, (), priority, labels or {}, version)
        return ElectedTeam(self.bus, self._candidate, candidature)

    # -- streams ----------------------------------------------------------------------------

    async def append(
        self,
        stream: str,
        events: Sequence[NewEvent],
        *,
        expected_version: int = ANY_VERSION,
        request_id: str | None = None,
        timeout_s: float = 10,
    ) -> int:
        """Append events to a stream of your own; its version after that.

        A version counts a stream's events: 0 means that there is no such stream yet. With no
        events it is a check of the version. The same `request_id` appends once.

        Raises:
            VersionConflict: the stream has another version; nothing was appended.
            NoAnswer: the answer did not come in time, so the append may or may not have happened.
                Ask again with the same `request_id`.
        """
        request = request_id or os.urandom(12).hex()
        topic = inbox("event-store")
        shard = partition_of(stream, await partition_count(self.bus, topic))
        status = {"op": "append-status", "stream": stream, "request_id": request}
        subject = announcement_subject(request)
        question = Question(request, subject, _ANSWER, "event-store", "index", status)
        message = Append(stream, tuple(events), request, expected_version)

        async def send() -> None:
            await self._postbox.send(topic, shard, message, stream, event_id=request)

        answer = await decided(self.bus, question, send, timeout_s)
        if answer.status == "conflict":
            raise VersionConflict(stream, expected_version, answer.version)
        return answer.version

    async def read_stream(
        self, stream: str, from_version: int = 1, limit: int = EVENTS_PAGE
    ) -> list[Mapping[str, Any]]:
        """Return CloudEvents of a stream of the event store; the first event has version 1.

        Raises:
            NoAnswer: the event store does not answer.
        """
        request = {"op": "read", "stream": stream, "from_version": from_version, "limit": limit}
        answer = await ask(self.bus, "event-store", "index", request)
        return [indexed["event"] for indexed in answer["events"]]

    async def _stop(self) -> None:
        await self.outcomes.close()
        if self._candidate is not None:
            await self._candidate.close()
        await self._postbox.close()
