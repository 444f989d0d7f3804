"""What commands about sagas ask: of the orchestrator, and of the event store for the past."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from folkmoot.bus.ports import Bus
from folkmoot.cli.connection import ask_service, ask_shard_dated
from folkmoot.cli.output import CommandError
from folkmoot.cli.streams import read_all, read_stream, store, work_streams
from folkmoot.core.messages import inbox
from folkmoot.core.saga import explain_call
from folkmoot.runtime.clock import SystemClock
from folkmoot.sdk.errors import NoAnswer
from folkmoot.sdk.listing import Filter, Place, SagaPage, merged
from folkmoot.sdk.queries import partition_count

ORCHESTRATOR, BREAKER = "saga-orchestrator", "breaker-proxy"
BEGINS = ("step-scheduled",)
ENDS = ("step-succeeded", "step-failed", "step-skipped", "step-joined", "step-compensated")


async def listed(bus: Bus, wanted: Filter, limit: int, after: Place | None) -> SagaPage:
    """Return a page of sagas, of all shards."""
    request = wanted.request(limit, after)
    partitions = range(await partition_count(bus, inbox(ORCHESTRATOR)))
    answers = [await ask_shard_dated(bus, ORCHESTRATOR, each, request) for each in partitions]
    return merged(answers, limit)


async def explanation(bus: Bus, saga_id: str) -> str | None:
    """Return why a saga is where it is, None if nobody remembers."""
    request = {"op": "explain", "saga_id": saga_id, "now": SystemClock().now()}
    said: str | None = await _first(bus, request)
    return None if said is None else said + await _at_the_breaker(bus, saga_id)


async def _first(bus: Bus, request: Mapping[str, Any]) -> Any:
    answers = await ask_service(bus, ORCHESTRATOR, request)
    return next((answer for answer in answers if answer is not None), None)


async def _at_the_breaker(bus: Bus, saga_id: str) -> str:
    """Return what a saga's most telling call waits for at the breaker, nothing if it does not."""
    call = await _first(bus, {"op": "call", "saga_id": saga_id})
    if call is None:
        return ""
    try:
        found = await ask_service(bus, BREAKER, {"op": "call", "call_id": call["call_id"]})
    except NoAnswer:
        return ""
    return explain_call(next((each for each in found if each is not None), None))


async def history_of(bus: Bus, saga_id: str, at: int | None = None) -> list[Mapping[str, Any]]:
    """Return the events of a saga, up to version `at` if given.

    Raises:
        CommandError: there is no such saga.
    """
    try:
        return await read_stream(bus, f"saga-{saga_id}", at)
    except CommandError as error:
        raise CommandError(
            f"there is no saga {saga_id}; `folkmoot sagas ls` lists what there is"
        ) from error


async def work_of(bus: Bus, saga_id: str) -> list[Mapping[str, Any]]:
    """Return what workers and leaders did for a saga, as their logs have it."""
    async with store(bus) as asked:
        found: list[Mapping[str, Any]] = []
        for stream in await work_streams(asked, saga_id):
            found += [{**each, "stream": stream} for each in await read_all(asked, stream)]
        return found


async def times_of(bus: Bus, saga_id: str) -> dict[str, dict[str, int]]:
    """Return when each step of a saga began and ended, as far as the event store has it."""
    times: dict[str, dict[str, int]] = {}
    try:
        history = await history_of(bus, saga_id)
    except CommandError:
        return times
    for recorded in history:
        name, data = event_name(recorded), recorded["event"]["data"]
        if name in BEGINS:
            times.setdefault(data["step_id"], {"began_at": recorded["at"]})
        elif name in ENDS and data["step_id"] in times:
            times[data["step_id"]].setdefault("ended_at", recorded["at"])
    return times


def event_name(recorded: Mapping[str, Any]) -> str:
    """Return an event's type without what all types have in common."""
    name: str = recorded["event"]["type"].removeprefix("folkmoot.")
    return name.rsplit(".v", 1)[0]
