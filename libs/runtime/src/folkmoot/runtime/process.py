"""Runs one service as a process: serve health, connect, work, hand over on SIGTERM or Ctrl-C."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import signal
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Iterator
from typing import TypeVar

import uvicorn
from prometheus_client import CollectorRegistry
from prometheus_client.core import Metric
from prometheus_client.registry import Collector

from folkmoot.bus import connect
from folkmoot.bus.ports import AppendUncertain, Bus, BusError, BusUnavailable
from folkmoot.runtime import garbage, logs
from folkmoot.runtime.clock import Clock, SystemClock
from folkmoot.runtime.loop_watch import LoopWatch
from folkmoot.runtime.metrics import registry
from folkmoot.runtime.service import Health, Service
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


class FrontDesk(Collector):
    """What a process tells of itself: of the service that runs, or what it waits for until then.

    Health is served from the first moment on, so that who watches can tell a process that waits
    for a broker from one that hangs.
    """

    def __init__(self) -> None:
        self.waits_for = "the process begins"
        self.watch = LoopWatch()
        self.registry = CollectorRegistry()
        self.registry.register(self)
        self._service: Service | None = None
        self._metrics = CollectorRegistry()

    def open(self, service: Service) -> None:
        """Tell of `service` from now on."""
        self._metrics = registry(service, self.watch)
        self._service = service

    def health(self) -> Health:
        """Return the service's health; not ready, and why, before there is one."""
        if self._service is None:
            return Health(False, (self.waits_for,), ())
        return self._service.health()

    def collect(self) -> Iterable[Metric]:
        """Return the service's metrics; none before there is one."""
        return self._metrics.collect()


async def _run(bootstrap: Bootstrap[T], settings: T) -> None:
    stop, desk = asyncio.Event(), FrontDesk()
    _stop_on_signals(stop)
    async with _serving_health(desk, settings):
        while (bus := await _connect(settings, stop, desk)) is not None:
            try:
                service = await _begun(bootstrap, bus, settings, desk)
                if service is not None:
                    desk.open(service)
                    garbage.look_rarely()
                    await _serve(service, stop)
                    return
            finally:
                await bus.close()
            await _pause(stop)


async def _begun(bootstrap: Bootstrap[T], bus: Bus, settings: T, desk: FrontDesk) -> Service | None:
    """Return the service; None if the broker was lost meanwhile, so that it has to begin anew."""
    desk.waits_for = "the service begins"
    try:
        return await bootstrap(bus, settings, SystemClock())
    except (BusUnavailable, AppendUncertain) as error:
        desk.waits_for = str(error)
        logger.warning("%s; beginning anew", error)
        return None


async def _serve(service: Service, stop: asyncio.Event) -> None:
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


async def _connect(settings: Settings, stop: asyncio.Event, desk: FrontDesk) -> Bus | None:
    """Connect, waiting for a broker that is not there yet; None if told to stop meanwhile."""
    while not stop.is_set():
        try:
            return await connect(settings.bus, credentials=settings.credentials())
        except BusUnavailable as error:
            desk.waits_for = str(error)
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
async def _serving_health(desk: FrontDesk, settings: Settings) -> AsyncIterator[None]:
    config = uvicorn.Config(
        asgi_app(desk.health, desk.registry),
        host=settings.http_host,
        port=settings.http_port,
        log_level="warning",
        lifespan="off",
    )
    server = _HealthServer(config)
    serving = asyncio.create_task(server.serve())
    watching = asyncio.create_task(desk.watch.run())
    try:
        yield
    finally:
        watching.cancel()
        server.should_exit = True
        await serving
