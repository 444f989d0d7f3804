"""Runs one service as a process: connect, serve health, work, hand over on SIGTERM or Ctrl-C."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import signal
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from typing import TypeVar

import uvicorn

from folkmoot.bus import connect
from folkmoot.bus.ports import AppendUncertain, Bus, BusError, BusUnavailable
from folkmoot.runtime import logs
from folkmoot.runtime.clock import Clock, SystemClock
from folkmoot.runtime.loop_watch import LoopWatch
from folkmoot.runtime.metrics import registry
from folkmoot.runtime.service import Service
from folkmoot.runtime.settings import Settings
from folkmoot.runtime.shell import asgi_app

T = TypeVar("T", bound=Settings)
Bootstrap = Callable[[Bus, T, Clock], Awaitable[Service]]

CONNECT_RETRY_S = 1.0
EXIT_MISCONFIGURED = 78
"""EX_CONFIG of sysexits.h: restarting will not help."""

logger = logging.getLogger("folkmoot")


def main(bootstrap: Bootstrap[T], settings: T) -> int:
    """Run the service until it is told to stop; the exit status."""
    logs.set_up(settings.log_level, settings.log_format)
    try:
        with asyncio.Runner(loop_factory=_loop_factory()) as runner:
            runner.run(_run(bootstrap, settings))
    except BusError as error:
        logger.error("%s", error)  # noqa: TRY400 - the sentence says it; a traceback would hide it
        return EXIT_MISCONFIGURED
    return 0


def _loop_factory() -> Callable[[], asyncio.AbstractEventLoop] | None:
    try:
        import uvloop
    except ImportError:
        return None
    return uvloop.new_event_loop


async def _run(bootstrap: Bootstrap[T], settings: T) -> None:
    stop = asyncio.Event()
    _stop_on_signals(stop)
    while (bus := await _connect(settings.bus, stop)) is not None:
        try:
            service = await _begun(bootstrap, bus, settings)
            if service is not None:
                await _serve(service, settings, stop)
                return
        finally:
            await bus.close()
        await _pause(stop)


async def _begun(bootstrap: Bootstrap[T], bus: Bus, settings: T) -> Service | None:
    """Return the service; None if the broker was lost meanwhile, so that it has to begin anew."""
    try:
        return await bootstrap(bus, settings, SystemClock())
    except (BusUnavailable, AppendUncertain) as error:
        logger.warning("%s; beginning anew", error)
        return None


async def _serve(service: Service, settings: Settings, stop: asyncio.Event) -> None:
    async with _serving_health(service, settings):
        running = asyncio.create_task(service.run())
        stopping = asyncio.create_task(stop.wait())
        await asyncio.wait([running, stopping], return_when=asyncio.FIRST_COMPLETED)
        service.stop()
        stopping.cancel()
        await running


def _stop_on_signals(stop: asyncio.Event) -> None:
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)


async def _connect(address: str, stop: asyncio.Event) -> Bus | None:
    """Connect, waiting for a broker that is not there yet; None if told to stop meanwhile."""
    while not stop.is_set():
        try:
            return await connect(address)
        except BusUnavailable as error:
            logger.warning("%s; trying again", error)
            await _pause(stop)
    return None


async def _pause(stop: asyncio.Event) -> None:
    """Wait before trying again, unless told to stop."""
    with contextlib.suppress(TimeoutError):
        await asyncio.wait_for(stop.wait(), CONNECT_RETRY_S)


class _HealthServer(uvicorn.Server):
    """Serves until told to; signals are the process's business, not its own."""

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield


@contextlib.asynccontextmanager
async def _serving_health(service: Service, settings: Settings) -> AsyncIterator[None]:
    watch = LoopWatch()
    config = uvicorn.Config(
        asgi_app(service.health, registry(service, watch)),
        host=settings.http_host,
        port=settings.http_port,
        log_level="warning",
        lifespan="off",
    )
    server = _HealthServer(config)
    serving = asyncio.create_task(server.serve())
    watching = asyncio.create_task(watch.run())
    try:
        yield
    finally:
        watching.cancel()
        server.should_exit = True
        await serving
