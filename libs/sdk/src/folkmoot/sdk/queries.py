"""Asks services over gossip. Answers come from a leader's state and change nothing."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from typing import Any
from weakref import WeakKeyDictionary

import orjson

from folkmoot.bus.ports import Bus, Log, NoResponder
from folkmoot.contracts import subjects
from folkmoot.core.messages import inbox
from folkmoot.core.saga import explain_call
from folkmoot.runtime.service import NOT_LEADING, QueryError, read_dated_answer
from folkmoot.sdk.errors import NoAnswer

Json = Any

QUERY_TIMEOUT_MS = 2_000
"""A query is answered from memory; longer than this means that nobody is there."""


async def ask(
    bus: Bus,
    service: str,
    partition: int | str,
    request: Mapping[str, Json],
    timeout_ms: int = QUERY_TIMEOUT_MS,
) -> Json:
    """Return the answer of one shard.

    Raises:
        NoAnswer: the shard has no leader now, or it did not answer in time.
        QueryError: it refused the query, and says why.
    """
    return (await ask_dated(bus, service, partition, request, timeout_ms))[0]


async def ask_dated(
    bus: Bus,
    service: str,
    partition: int | str,
    request: Mapping[str, Json],
    timeout_ms: int = QUERY_TIMEOUT_MS,
) -> tuple[Json, Mapping[str, int]]:
    """Return the answer of one shard, and the offset of its log up to which that is true.

    Raises:
        NoAnswer: the shard has no leader now, or it did not answer in time.
        QueryError: it refused the query, and says why.
    """
    try:
        data = await bus.gossip.request(
            subjects.query(service, partition), orjson.dumps(request), timeout_ms
        )
        return read_dated_answer(data)
    except NoResponder as error:
        raise NoAnswer(
            f"shard {partition} of {service} does not answer: is it running, and is it ready?"
        ) from error
    except QueryError as refusal:
        if refusal.kind == NOT_LEADING:
            raise NoAnswer(f"the leader of shard {partition} of {service} changes") from refusal
        raise


async def ask_all(bus: Bus, service: str, request: Mapping[str, Json]) -> Sequence[Json]:
    """Return the answers of all shards, in order of partition.

    Raises:
        NoAnswer: one of them does not answer.
    """
    partitions = await partition_count(bus, inbox(service))
    return await asyncio.gather(*(ask(bus, service, p, request) for p in range(partitions)))


async def waits_at_breaker(bus: Bus, partition: int, saga_id: str) -> str:
    """Return what a saga of that shard waits for at a breaker; nothing if no breaker says so."""
    try:
        call = await ask(bus, "saga-orchestrator", partition, {"op": "call", "saga_id": saga_id})
        if call is None:
            return ""
        asked = {"op": "call", "call_id": call["call_id"]}
        found = await ask_all(bus, "breaker-proxy", asked)
    except (NoAnswer, QueryError):
        return ""
    return explain_call(next((each for each in found if each is not None), None))


_counted: WeakKeyDictionary[Log, dict[str, int]] = WeakKeyDictionary()


async def partition_count(bus: Bus, topic: str) -> int:
    """Return how many partitions a topic has; brokers are asked once, as that never changes.

    Raises:
        NoAnswer: there is no such topic, so Folkmoot has never run on this bus.
    """
    counted = _counted.setdefault(bus.log, {})
    if topic not in counted:
        counted |= await bus.log.topics()
    if topic not in counted:
        raise NoAnswer(f"there is no topic {topic}: has Folkmoot ever been started on this bus?")
    return counted[topic]
