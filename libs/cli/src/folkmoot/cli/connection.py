"""Which Folkmoot a command talks to, and how it asks: a running one, or what a log says."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from pathlib import Path
from typing import Annotated, Any, TypeVar

import typer

from folkmoot.bus import connect
from folkmoot.bus.ports import Bus, BusError
from folkmoot.cli.output import CommandError
from folkmoot.core.messages import inbox
from folkmoot.runtime.observer import observe
from folkmoot.runtime.service import Answer, QueryError
from folkmoot.runtime.settings import BusSettings
from folkmoot.runtime.shards import shard_name
from folkmoot.sdk.errors import NoAnswer
from folkmoot.sdk.queries import ask_dated, partition_count

DATA_DIR = Path(".folkmoot")
EMBEDDED_FILE = DATA_DIR / "demo.db"
"""Where `folkmoot demo` keeps its embedded log."""

T = TypeVar("T")

BusOption = Annotated[
    str | None,
    typer.Option(
        "--bus",
        metavar="ADDRESS",
        envvar="FOLKMOOT_BUS",
        help="kafka://HOST:PORT?nats=nats://HOST:PORT, or embedded:FILE. "
        "Left out: what `folkmoot up` runs here, else the file of the last demo.",
    ),
]
JsonOption = Annotated[bool, typer.Option("--json", help="Print JSON, for programs.")]
WaitOption = Annotated[bool, typer.Option(help="Wait for the result and print it.")]
TimeoutOption = Annotated[
    float | None,
    typer.Option(metavar="SECONDS", help="How long to wait; for ever if not given."),
]


def address(given: str | None) -> str:
    """Return the bus that a command means.

    Raises:
        CommandError: none was given and none is to be found here.
    """
    if given == "embedded":
        return f"embedded:{EMBEDDED_FILE}"
    if given and given != "local":
        return given
    if (running := running_locally()) is not None:
        return running
    if given is None and EMBEDDED_FILE.exists():
        return f"embedded:{EMBEDDED_FILE}"
    raise CommandError(
        "no Folkmoot is to be found here: start one with `folkmoot up`, try `folkmoot demo`, "
        "or say where it is with --bus"
    )


def running_locally() -> str | None:
    """Return the address of what `folkmoot up` runs in this directory, if it does."""
    from folkmoot.cli.platform import local_address

    return local_address()


def run(work: Callable[[Bus], Awaitable[T]], given: str | None) -> T:
    """Connect, do `work`, disconnect.

    Raises:
        CommandError: the bus cannot be used, or nobody answers.
    """
    where = _existing(address(given))

    async def connected() -> T:
        bus = await connect(where, credentials=BusSettings().credentials())
        try:
            return await work(bus)
        finally:
            await bus.close()

    try:
        return asyncio.run(connected())
    except (BusError, NoAnswer, QueryError) as error:
        raise CommandError(str(error)) from error


def _existing(where: str) -> str:
    """Return `where`; looking at an embedded file that is not there must not make one."""
    _, _, path = where.partition("embedded:")
    if path and not Path(path).exists():
        raise CommandError(f"there is no file {path}: `folkmoot demo` makes one")
    return where


async def ask_service(bus: Bus, service: str, request: Mapping[str, Any]) -> list[Any]:
    """Return the answers of all shards of a service, in order of partition.

    A shard that nobody leads now is answered for from its log, which takes longer but is the
    same answer.
    """
    partitions = await partition_count(bus, inbox(service))
    return [await ask_shard(bus, service, number, request) for number in range(partitions)]


async def ask_shard(bus: Bus, service: str, partition: int, request: Mapping[str, Any]) -> Any:
    """Return the answer of one shard of a service, from its log if nobody leads it now."""
    return (await ask_shard_dated(bus, service, partition, request))[0]


async def ask_shard_dated(
    bus: Bus, service: str, partition: int, request: Mapping[str, Any]
) -> tuple[Any, Mapping[str, int]]:
    """Return the same, and the offset of the shard's log up to which it is true."""
    try:
        return await ask_dated(bus, service, partition, request, timeout_ms=1_000)
    except NoAnswer:
        machine, answer = _observed(service)
        name = shard_name(service, partition)
        shard = await observe(bus, machine(partition), name)
        return answer(shard.state, request), {name.origin: shard.next_offset}


def _observed(service: str) -> tuple[Callable[[int], Any], Answer]:
    """Return what it takes to answer for a service: its machine, and its answers."""
    if service == "election":
        from folkmoot.election import bootstrap as election
        from folkmoot.election.handlers import answer as of_election
        from folkmoot.election.settings import ElectionServiceSettings

        return lambda p: election.machine(ElectionServiceSettings(), p), of_election
    if service == "breaker-proxy":
        from folkmoot.breaker_proxy import bootstrap as breaker
        from folkmoot.breaker_proxy.handlers import answer as of_breaker
        from folkmoot.breaker_proxy.settings import BreakerProxyServiceSettings

        return lambda p: breaker.machine(BreakerProxyServiceSettings(), p), of_breaker
    from folkmoot.saga_orchestrator import bootstrap as saga
    from folkmoot.saga_orchestrator.handlers import answer as of_sagas
    from folkmoot.saga_orchestrator.settings import SagaOrchestratorServiceSettings

    return lambda p: saga.machine(SagaOrchestratorServiceSettings(), p), of_sagas
