"""`folkmoot up`, `down` and `status`, without the printing.

`up` starts Kafka and NATS, then the services, and returns when all are ready. `down` and `status`
work from any process: the data directory tells them what runs.
"""

from __future__ import annotations

import asyncio
import contextlib
import signal
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal, Self

from folkmoot.local import ports, state
from folkmoot.local.errors import UnknownProcess
from folkmoot.local.events import Died, Downloading, OnEvent, ignore
from folkmoot.local.kafka import KafkaServer
from folkmoot.local.nats import NatsServer
from folkmoot.local.processes import (
    START_WITHIN_MS,
    ManagedProcess,
    ServiceProcess,
    ServiceSpec,
)
from folkmoot.local.settings import LocalSettings
from folkmoot.local.supervisor import Supervisor
from folkmoot.local.sweeping import end, sweep

DATA_DIR = Path(".folkmoot/local")
KAFKA_PORT = 9092
NATS_PORT = 4222
FIRST_HEALTH_PORT = 8700
"""The first service's port for health and metrics; the others' follow."""

SUPERVISOR_STOPS_WITHIN_MS = 90_000
"""How long `down` waits for a supervisor to stop its processes, some of which may have to be
killed, before it kills the supervisor and stops them itself."""

STOP_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


@dataclass(frozen=True, slots=True)
class UpOptions:
    """What to run, and where."""

    data_dir: Path = DATA_DIR
    kafka_port: int = KAFKA_PORT
    nats_port: int = NATS_PORT
    services: Sequence[ServiceSpec] = ()
    settings: LocalSettings = field(default_factory=LocalSettings)

    @property
    def kafka_address(self) -> str:
        """HOST:PORT of Kafka."""
        return f"{ports.LOOPBACK}:{self.kafka_port}"

    @property
    def nats_address(self) -> str:
        """The URL of NATS."""
        return f"nats://{ports.LOOPBACK}:{self.nats_port}"

    @property
    def bus(self) -> str:
        """The bus address of both, as every other setting takes it."""
        return _bus(self.kafka_address, self.nats_address)


class Running:
    """What `up` started. As a context manager it is stopped at the end, unless it was left."""

    def __init__(self, supervisor: Supervisor) -> None:
        self._supervisor = supervisor
        self._asked = asyncio.Event()

    @property
    def processes(self) -> tuple[ManagedProcess, ...]:
        """What runs, in the order in which it was started."""
        return self._supervisor.processes

    @property
    def logs(self) -> dict[str, Path]:
        """The log of each process, as `logs.follow` takes them."""
        return {process.name: process.log for process in self.processes}

    @property
    def address(self) -> str | None:
        """The address of the bus, or None if Kafka and NATS do not both run."""
        return _bus_of({each.name: each.address for each in self.processes if each.running})

    async def wait_ready(self, within_ms: int = START_WITHIN_MS) -> None:
        """Return when every process is ready, as each was when `up` returned.

        Raises:
            StartFailed: one has ended, or was not ready in time.
        """
        await asyncio.gather(*(each.wait_ready(within_ms) for each in self.processes))

    async def kill(self, name: str) -> None:
        """End one process at once, as a crash of it would.

        Raises:
            UnknownProcess: `up` started none of that name.
        """
        named = {each.name: each for each in self.processes}
        if name not in named:
            raise UnknownProcess(name, tuple(named))
        await named[name].kill()

    def leave(self) -> None:
        """Let everything run on when this process ends, until `down` stops it."""
        self._supervisor.leave()

    async def hold(self) -> Died | None:
        """Run until a signal asks for the end or a process dies, then stop everything.

        Return the process that died, or None. A second signal kills what has not stopped yet.
        """
        with _handled(STOP_SIGNALS, self._on_signal):
            death = asyncio.create_task(self._supervisor.death())
            asked = asyncio.create_task(self._asked.wait())
            try:
                await asyncio.wait([death, asked], return_when=asyncio.FIRST_COMPLETED)
                return death.result() if death.done() else None
            finally:
                death.cancel()
                asked.cancel()
                await self.stop()

    def _on_signal(self) -> None:
        if self._asked.is_set():
            self._supervisor.kill_all()
        self._asked.set()

    async def stop(self) -> None:
        """Stop everything, the last first."""
        await self._supervisor.stop()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_error: object) -> None:
        await self.stop()


@contextlib.contextmanager
def _handled(signals: Sequence[signal.Signals], handler: Callable[[], None]) -> Iterator[None]:
    loop = asyncio.get_running_loop()
    # What was started with a signal ignored, by nohup for one, goes on ignoring it.
    mine = [each for each in signals if signal.getsignal(each) is not signal.SIG_IGN]
    for each in mine:
        loop.add_signal_handler(each, handler)
    try:
        yield
    finally:
        for each in mine:
            loop.remove_signal_handler(each)


async def up(options: UpOptions, on_event: OnEvent = ignore) -> Running:
    """Start brokers and services, and return when all are ready.

    Raises:
        LocalError: a tool is missing, a port is taken, the data directory is in use, or a process
            did not start. Nothing runs then.
    """
    brokers, services = _brokers(options, on_event), _services(options)
    supervisor = Supervisor(options.data_dir, on_event)
    await supervisor.open()
    try:
        for process in (*brokers, *services):
            ports.require_free(process.port, process.name)
        await supervisor.start(*brokers)
        await supervisor.start(*services)
    except BaseException:
        await supervisor.stop()
        raise
    return Running(supervisor)


def _brokers(options: UpOptions, on_event: OnEvent) -> Sequence[ManagedProcess]:
    data, logs, settings = options.data_dir, options.data_dir / "logs", options.settings
    return (
        NatsServer(data / "nats", options.nats_port, settings, logs / "nats.log"),
        KafkaServer(
            data / "kafka",
            options.kafka_port,
            settings,
            logs / "kafka.log",
            on_progress=lambda done, total: on_event(Downloading(done, total)),
        ),
    )


def _services(options: UpOptions) -> Sequence[ManagedProcess]:
    logs = options.data_dir / "logs"
    return [ServiceProcess(spec, logs / f"{spec.name}.log") for spec in options.services]


async def down(data_dir: Path = DATA_DIR, on_event: OnEvent = ignore) -> tuple[str, ...]:
    """Stop what runs in a data directory, and return the names of what was running.

    A living supervisor is asked to do it, in its own order; what a dead one left is stopped here.
    """
    if (run := state.read(data_dir)) is None:
        return ()
    living = tuple(each.name for each in run.living())
    if run.supervisor is not None:
        await end(run.supervisor, SUPERVISOR_STOPS_WITHIN_MS)
    await sweep(run.processes, on_event)
    if state.read(data_dir) == run:
        state.forget(data_dir)
    return living


@dataclass(frozen=True, slots=True)
class ProcessStatus:
    """How one process is doing. `started_at` is in milliseconds since the epoch."""

    name: str
    phase: Literal["ready", "not ready", "dead"]
    pid: int
    address: str
    started_at: int
    log: Path


async def status(data_dir: Path = DATA_DIR) -> list[ProcessStatus]:
    """Return how the processes of a data directory are doing; nothing if none was started."""
    run = state.read(data_dir)
    if run is None:
        return []
    return list(await asyncio.gather(*map(_status, run.processes)))


async def _status(record: state.ProcessRecord) -> ProcessStatus:
    return ProcessStatus(
        record.name,
        await _phase(record),
        record.identity.pid,
        record.address,
        round(record.identity.started * 1000),
        record.log,
    )


async def _phase(record: state.ProcessRecord) -> Literal["ready", "not ready", "dead"]:
    if record.identity.find() is None:
        return "dead"
    if record.health_path is None:
        answers = await ports.accepts(record.port)
    else:
        answers = await ports.answers_ok(record.port, record.health_path)
    return "ready" if answers else "not ready"


def bus_address(data_dir: Path = DATA_DIR) -> str | None:
    """Return the bus that runs in a data directory, or None if Kafka and NATS do not both run."""
    run = state.read(data_dir)
    return _bus_of({each.name: each.address for each in run.living()}) if run else None


def _bus_of(addresses: Mapping[str, str]) -> str | None:
    if "kafka" not in addresses or "nats" not in addresses:
        return None
    return _bus(addresses["kafka"], addresses["nats"])


def _bus(kafka: str, nats: str) -> str:
    return f"kafka://{kafka}?nats={nats}"
