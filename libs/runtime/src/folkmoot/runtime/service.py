"""A service: its replicas, its answers, and whatever else runs beside them.

`bootstrap.service(...)` of each service builds one of these; nothing else knows how a service is
put together. The same object runs in a process of its own and inside the embedded mesh.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Coroutine, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import orjson

from folkmoot.bus.cancelling import alive, heed_cancellation
from folkmoot.bus.ports import Bus, BusError, Gossiped, Subscription
from folkmoot.contracts import subjects
from folkmoot.core.messages import Announce
from folkmoot.runtime.clock import Clock
from folkmoot.runtime.replica import Replica
from folkmoot.runtime.seat import NotLeading, Role
from folkmoot.runtime.sheet import Measure
from folkmoot.runtime.tracing import Tracing

Json = Any
Answer = Callable[[Any, Mapping[str, Json]], Json]
"""Answers a query from a machine's state. Pure: (state, request) -> JSON values."""

logger = logging.getLogger(__name__)

JOB_RETRY_S = 0.5

NOT_LEADING = "not-leading"
"""Kind of the refusal of who led when the question was sent; ask again."""

STALLED_MS = 10_000
"""A leader that has not appended for this long, not even a beat, is not ready."""


class QueryError(Exception):
    """A query cannot be answered. `kind` is a stable word for programs."""

    def __init__(self, kind: str, detail: str) -> None:
        super().__init__(detail)
        self.kind, self.detail = kind, detail


def encode_answer(answer: Json, as_of: Mapping[str, int] | None = None) -> bytes:
    """Return the bytes of a successful answer, true of the logs up to the offsets in `as_of`."""
    return orjson.dumps({"ok": answer} if as_of is None else {"ok": answer, "as_of": as_of})


def encode_refusal(error: QueryError) -> bytes:
    """Return the bytes of a refused query."""
    return orjson.dumps({"error": {"kind": error.kind, "detail": error.detail}})


@dataclass(frozen=True, slots=True)
class ShardHealth:
    """How one replica is doing."""

    shard: str
    role: str
    term: int
    holder: str | None
    offset: int
    pending_effects: int
    idle_ms: int
    error: str | None


@dataclass(frozen=True, slots=True)
class Health:
    """Whether a service can do its work, and if not, why."""

    ready: bool
    reasons: tuple[str, ...]
    shards: tuple[ShardHealth, ...]


@dataclass
class Service:
    """Everything that one service does in one process.

    `on_stop` is awaited before its shards are handed over, `on_stopped` when they are.
    """

    name: str
    bus: Bus
    clock: Clock
    replicas: Sequence[Replica[Any]]
    answer: Answer | None = None
    jobs: Sequence[Callable[[], Coroutine[Any, Any, None]]] = ()
    on_stop: Callable[[], Awaitable[None]] | None = None
    measures: Sequence[Measure] = ()
    on_stopped: Callable[[], Awaitable[None]] | None = None
    tracing: Tracing | None = None
    _stopping: asyncio.Event = field(default_factory=asyncio.Event)

    async def run(self) -> None:
        """Run until `stop`. Cancelling it is a crash: nothing is handed over."""
        desks = [_QueryDesk(self, replica) for replica in self.replicas]
        async with asyncio.TaskGroup() as tasks:
            jobs = [*self.jobs, *(desk.run for desk in desks)]
            beside = [tasks.create_task(_persevere(job)) for job in jobs]
            working = [tasks.create_task(replica.run()) for replica in self.replicas]
            await self._stopping.wait()
            await self._say_farewell()
            for replica in self.replicas:
                replica.stop()
            if working:
                await asyncio.wait(working)
            if self.on_stopped is not None:
                await self.on_stopped()
            for task in beside:
                task.cancel()

    async def _say_farewell(self) -> None:
        if self.on_stop is None:
            return
        try:
            await self.on_stop()
        except BusError as error:
            logger.warning("%s leaves without a farewell: %s", self.name, error)

    def stop(self) -> None:
        """Hand over what is led and let `run` return."""
        self._stopping.set()

    def health(self) -> Health:
        """Return whether the service is ready, per shard."""
        shards = tuple(self._shard_health(replica) for replica in self.replicas)
        reasons = (*_problems(shards), *self._refused())
        return Health(not reasons, reasons, shards)

    def _refused(self) -> list[str]:
        refused = self.bus.refusals.latest
        return [] if refused is None else [f"{refused}; grant it, then start {self.name} again"]

    def _shard_health(self, replica: Replica[Any]) -> ShardHealth:
        shard = replica.shard
        return ShardHealth(
            replica.name.origin,
            replica.role.value,
            shard.leadership.term,
            shard.leadership.holder,
            shard.next_offset,
            len(shard.pending),
            self.clock.monotonic() - replica.progressed_at,
            replica.last_error if replica.role in (Role.RESTORING, Role.HALTED) else None,
        )


def _problems(shards: Sequence[ShardHealth]) -> list[str]:
    problems = []
    for shard in shards:
        if shard.role == Role.HALTED.value:
            problems.append(f"{shard.shard} halted: {shard.error}")
        elif shard.role == Role.RESTORING.value:
            why = f" ({shard.error})" if shard.error else ""
            problems.append(f"{shard.shard} is being restored from its log{why}")
        elif shard.role == Role.FOLLOWING.value and shard.holder is None:
            problems.append(f"{shard.shard} has no leader")
        elif shard.role == Role.LEADING.value and shard.idle_ms > STALLED_MS:
            problems.append(f"{shard.shard} has not appended for {shard.idle_ms} ms")
    return problems


async def _persevere(job: Callable[[], Coroutine[Any, Any, None]]) -> None:
    """Run what stands beside the replicas, again after each outage, which replicas survive too."""
    ended = False
    while not ended:
        ended = True
        try:
            await alive(job())
        except* BusError as outage:
            ended = False
            name = getattr(job, "__qualname__", repr(job))
            logger.warning("%s starts over: %s", name, outage.exceptions[0])
        if not ended:
            heed_cancellation()
            await asyncio.sleep(JOB_RETRY_S)


class _QueryDesk:
    """Answers queries about one shard while this process leads it."""

    def __init__(self, service: Service, replica: Replica[Any]) -> None:
        self._service, self._replica = service, replica
        self._open: Subscription | None = None

    async def run(self) -> None:
        if self._service.answer is None:
            return
        try:
            while True:
                turned = self._replica.turned
                await self._follow_role()
                await turned.wait()
        finally:
            await self._close()

    async def _follow_role(self) -> None:
        if self._replica.leads and self._open is None:
            subject = subjects.query(self._service.name, self._replica.name.partition)
            self._open = await self._service.bus.gossip.respond(subject, self._respond)
        elif not self._replica.leads:
            await self._close()

    async def _close(self) -> None:
        if self._open is not None:
            subscription, self._open = self._open, None
            await subscription.close()

    async def _respond(self, question: Gossiped) -> bytes:
        try:
            request = orjson.loads(question.data or b"{}")
            assert self._service.answer is not None
            state = await self._replica.read()
            as_of = {self._replica.name.origin: self._replica.shard.next_offset}
            return encode_answer(self._service.answer(state, request), as_of)
        except QueryError as error:
            return encode_refusal(error)
        except NotLeading as error:
            return encode_refusal(QueryError(NOT_LEADING, f"{error}; ask again"))
        except (orjson.JSONDecodeError, AttributeError, KeyError, TypeError) as error:
            return encode_refusal(QueryError("invalid-query", f"cannot read the query: {error!r}"))


def announcer(bus: Bus) -> Callable[[object], None]:
    """Return an `on_local` that publishes announcements and keeps nothing else.

    Announcements may be lost; who needs certainty reads the topic they come from.
    """
    tasks: set[asyncio.Task[None]] = set()

    def announce(request: object) -> None:
        if isinstance(request, Announce):
            data = orjson.dumps(request.message)
            task = asyncio.get_running_loop().create_task(bus.gossip.publish(request.subject, data))
            tasks.add(task)
            task.add_done_callback(tasks.discard)
            task.add_done_callback(_log_failure)

    return announce


def _log_failure(task: asyncio.Task[None]) -> None:
    if not task.cancelled() and (error := task.exception()) is not None:
        logger.warning("an announcement was not published: %s", error)


def read_answer(data: bytes) -> Json:
    """Return what a query was answered.

    Raises:
        QueryError: it was refused.
    """
    return read_dated_answer(data)[0]


def read_dated_answer(data: bytes) -> tuple[Json, Mapping[str, int]]:
    """Return what a query was answered, and the offsets of the logs up to which that is true.

    Raises:
        QueryError: it was refused.
    """
    body = orjson.loads(data)
    if "error" in body:
        raise QueryError(body["error"]["kind"], body["error"]["detail"])
    return body["ok"], body.get("as_of", {})
