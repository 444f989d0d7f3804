"""`folkmoot events`: the history of anything, from the event store or from the logs themselves."""

from __future__ import annotations

import asyncio
import json
import tempfile
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import ExitStack, asynccontextmanager
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import RenderableType

from folkmoot.bus.ports import Bus
from folkmoot.cli.connection import BusOption, JsonOption, run
from folkmoot.cli.output import CommandError, moment, show, table
from folkmoot.event_store.following import Follower
from folkmoot.event_store.handlers import READ_RECORDS_MAX, log_partitions
from folkmoot.event_store.index import Index
from folkmoot.event_store.queries import answer
from folkmoot.runtime.service import read_answer
from folkmoot.sdk.errors import NoAnswer
from folkmoot.sdk.queries import ask

events = typer.Typer(help="Read streams of events.", no_args_is_help=True)

Ask = Callable[[Mapping[str, Any]], Awaitable[Any]]

PAGE = 500
DATA_CHARS_MAX = 120


@events.command("read")
def read(
    stream: Annotated[
        str, typer.Argument(help="saga-ID, team-NAME, breaker-AGENT, or a stream of your own.")
    ],
    at: Annotated[
        int | None, typer.Option("--at", metavar="N", help="Only up to version N: the past.")
    ] = None,
    bus: BusOption = None,
    as_json: JsonOption = False,
) -> None:
    """Show the events of a stream, oldest first."""
    found = run(lambda connected: read_stream(connected, stream, at), bus)
    show(found, as_json, _listed)


@events.command("ls")
def ls(
    prefix: Annotated[str, typer.Argument(help="Only streams that begin so.")] = "",
    bus: BusOption = None,
    as_json: JsonOption = False,
) -> None:
    """List streams."""
    request = {"op": "streams", "prefix": prefix, "limit": PAGE}
    found = run(lambda connected: ask_store(connected, request), bus)["streams"]
    show(
        found,
        as_json,
        lambda streams: table(
            "streams",
            ("stream", "version", "last event"),
            [(each["stream"], each["version"], moment(each["at"])) for each in streams],
        ),
    )


async def read_stream(bus: Bus, stream: str, at: int | None) -> list[Mapping[str, Any]]:
    """Return the events of a stream, each with its version, up to version `at` if given.

    Raises:
        CommandError: there is no such stream.
    """
    async with store(bus) as asked:
        return await read_all(asked, stream, at)


async def read_all(asked: Ask, stream: str, at: int | None = None) -> list[Mapping[str, Any]]:
    """Return the same from a store that is open."""
    if (await asked({"op": "version", "stream": stream}))["version"] == 0:
        raise CommandError(f"there is no stream {stream!r}; `folkmoot events ls` lists streams")
    found: list[Mapping[str, Any]] = []
    following: int | None = 1
    while following is not None:
        request: dict[str, Any] = {"op": "read", "stream": stream, "from_version": following}
        if at is not None:
            request |= {"op": "read-at", "version": at}
        page = await asked(request | {"limit": PAGE})
        found += page["events"]
        following = page["next_version"]
    return found


async def work_streams(asked: Ask, saga_id: str) -> list[str]:
    """Return the streams of what workers and leaders did for a saga."""
    request = {"op": "streams", "prefix": f"work-{saga_id}/", "limit": PAGE}
    return [each["stream"] for each in (await asked(request))["streams"]]


async def ask_store(bus: Bus, request: Mapping[str, Any]) -> Any:
    """Return the event store's answer, or the same one made from the logs if nobody answers."""
    async with store(bus) as asked:
        return await asked(request)


@asynccontextmanager
async def store(bus: Bus) -> AsyncIterator[Ask]:
    """Open the event store for some questions. If it does not answer, the logs are read, once."""
    with ExitStack() as opened:
        index: Index | None = None

        async def asked(request: Mapping[str, Any]) -> Any:
            nonlocal index
            if index is None:
                try:
                    return await ask(bus, "event-store", "index", request, timeout_ms=1_000)
                except NoAnswer:
                    folder = tempfile.TemporaryDirectory(prefix="folkmoot-index-")
                    index = Index(Path(opened.enter_context(folder)))
                    opened.callback(index.close)
                    await _feed_all(bus, index)
            return read_answer(json.dumps(await answer(index, request)).encode())

        yield asked


async def _feed_all(bus: Bus, index: Index) -> None:
    for topic, partition in log_partitions(await bus.log.topics()):
        await _feed(bus, index, topic, partition)


async def _feed(bus: Bus, index: Index, topic: str, partition: int) -> None:
    end = await bus.log.end_offset(topic, partition)
    follower = Follower(index, topic, partition)
    tail = await bus.log.tail(topic, partition, 0)
    try:
        while tail.position < end:
            records = await tail.read(READ_RECORDS_MAX, 2_000)
            await asyncio.to_thread(follower.take, records)
    finally:
        await tail.close()


def _listed(found: Sequence[Mapping[str, Any]]) -> RenderableType:
    return table(
        "",
        ("version", "at", "event", "data"),
        [
            (
                each["version"],
                moment(each["at"]),
                each["event"]["type"].removeprefix("folkmoot.").removesuffix(".v1"),
                _shortened(each["event"]["data"]),
            )
            for each in found
        ],
    )


def _shortened(data: Mapping[str, Any]) -> str:
    text = json.dumps(data, ensure_ascii=False)
    return text if len(text) <= DATA_CHARS_MAX else f"{text[: DATA_CHARS_MAX - 1]}…"
