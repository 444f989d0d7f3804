"""Restate and DBOS, each set up as its own documentation has it for production."""

from __future__ import annotations

import asyncio
import json
import os
import shutil
import tempfile
import urllib.request
from collections.abc import Mapping, Sequence
from contextlib import AsyncExitStack
from pathlib import Path

from bench.sagas import installing
from bench.sagas.contender import PROGRAMS, ROOT, Contender, Program, Running, started
from folkmoot.local import ports
from folkmoot.local.processes import ManagedProcess
from folkmoot.local.supervisor import Supervisor

WORKERS = 2
"""Processes of each of Restate's services: as many as Folkmoot has replicas."""

HYPERCORN = """\
bind = "{address}"
workers = {workers}
worker_class = "uvloop"
h2_max_concurrent_streams = 2147483647
keep_alive_max_requests = 2147483647
keep_alive_timeout = 2147483647
loglevel = "WARNING"
"""


class Server(ManagedProcess):
    """A server that is ready when something answers at `path` of its port, or accepts there."""

    def __init__(
        self,
        name: str,
        argv: Sequence[str],
        port: int,
        log: Path,
        env: Mapping[str, str] | None = None,
        path: str | None = None,
    ) -> None:
        super().__init__(name, port, log)
        self._argv, self._path = argv, path
        self.env = os.environ | (env or {})
        self.cwd = ROOT

    async def command(self) -> Sequence[str]:
        """Return what was given."""
        return self._argv

    async def ready(self) -> bool:
        """Return whether it answers."""
        if self._path is None:
            return await ports.accepts(self.port)
        return await ports.answers_ok(self.port, self._path)


async def serve(stack: AsyncExitStack, folder: Path, *servers: Server) -> None:
    """Start servers at once, to be stopped with `stack`, or when this process is killed."""
    supervisor = Supervisor(folder)
    await supervisor.open()
    stack.push_async_callback(supervisor.stop)
    await supervisor.start(*servers)


def _pid(server: Server) -> list[int]:
    assert server.pid is not None
    return [server.pid]


class Restate(Contender):
    """Restate's server, a service with the sagas, and another with the steps."""

    name = "Restate"
    settings = (
        "one node with its production defaults (24 partitions, fsync, 2 GiB for RocksDB); steps "
        f"are calls to a second service; each in Hypercorn with {WORKERS} workers, uvloop and "
        "the settings that the SDK's documentation has for production"
    )

    async def prepare(self, stack: AsyncExitStack, folder: Path) -> None:
        """Get the server, and say how it and the services are run."""
        self._python, program = await installing.python(), await installing.restate_server()
        self._folder = folder / "restate"
        self._folder.mkdir(parents=True)
        admin, self._ingress = ports.free_port(), ports.free_port()
        settings = {
            "BASE_DIR": str(self._folder / "data"),
            "AUTO_PROVISION": "true",
            "DISABLE_TELEMETRY": "true",
            "LISTEN_MODE": "tcp",
            "BIND_IP": ports.LOOPBACK,
            "BIND_PORT": str(ports.free_port()),
            "ADMIN__BIND_PORT": str(admin),
            "INGRESS__BIND_PORT": str(self._ingress),
        }
        env = {f"RESTATE_{name}": value for name, value in settings.items()}
        argv = [str(program), "--production", "--no-logo"]
        self._server = Server("Restate", argv, admin, self._log("server"), env, "/health")
        self._services = {name: self._service(name) for name in ("worker", "saga")}
        self._registered = False

    def _log(self, name: str) -> Path:
        return self._folder / f"{name}.log"

    def _service(self, name: str) -> Server:
        port = ports.free_port()
        config = self._folder / f"{name}.toml"
        address = f"{ports.LOOPBACK}:{port}"
        config.write_text(HYPERCORN.format(address=address, workers=WORKERS))
        application = f"{PROGRAMS}.restate_{name}:application"
        argv = [str(self._python), "-m", "hypercorn", "--config", str(config), application]
        return Server(name, argv, port, self._log(name))

    async def start(self, stack: AsyncExitStack, folder: Path) -> Running:
        """Start the server on its data, the services, and the driver."""
        await serve(stack, folder, self._server, *self._services.values())
        if not self._registered:
            for service in self._services.values():
                await asyncio.to_thread(_register, self._server.port, service.address)
            self._registered = True
        url = f"http://{ports.LOOPBACK}:{self._ingress}"
        driver = Program(self._python, folder / "client.log", "restate_client", url)
        await started(stack, driver)
        pids = {"Restate": _pid(self._server), "client": [driver.pid]}
        services = {f"{name} service": _pid(each) for name, each in self._services.items()}
        return Running(driver, pids | services)


def _register(admin: int, address: str) -> None:
    body = json.dumps({"uri": f"http://{address}"}).encode()
    url = f"http://{ports.LOOPBACK}:{admin}/deployments"
    request = urllib.request.Request(url, body, {"content-type": "application/json"})
    with urllib.request.urlopen(request) as response:
        response.read()


class Dbos(Contender):
    """DBOS, a library: its workflows and steps run in the process that asks for them."""

    async def prepare(self, stack: AsyncExitStack, folder: Path) -> None:
        """Get it."""
        self._python = await installing.python()
        self._folder = folder / self.name.replace(" ", "-")
        self._folder.mkdir(parents=True, exist_ok=True)

    async def start(self, stack: AsyncExitStack, folder: Path) -> Running:
        """Start the driver, in which all happens."""
        driver = Program(self._python, folder / "dbos.log", "dbos_client", self._url())
        await started(stack, driver)
        return Running(driver, {"DBOS and client": [driver.pid]} | self._database())

    def _url(self) -> str:
        raise NotImplementedError

    def _database(self) -> dict[str, list[int]]:
        return {}


class DbosOnSqlite(Dbos):
    """DBOS on a file."""

    name = "DBOS on SQLite"
    settings = "one process with all defaults; steps in the same process"

    def _url(self) -> str:
        return f"sqlite:///{self._folder}/dbos.sqlite"


class DbosOnPostgres(Dbos):
    """DBOS on PostgreSQL."""

    name = "DBOS on PostgreSQL"
    settings = "one process with all defaults; PostgreSQL of the machine, as initdb sets it up"

    async def prepare(self, stack: AsyncExitStack, folder: Path) -> None:
        """Start a PostgreSQL, which refuses to run as root, in a folder that its user reaches."""
        await super().prepare(stack, folder)
        programs, port = installing.postgres(), ports.free_port()
        data = Path(tempfile.mkdtemp(prefix="folkmoot-bench-postgres-"))
        stack.callback(shutil.rmtree, data, ignore_errors=True)
        as_user: list[str] = []
        if os.geteuid() == 0:
            shutil.chown(data, "postgres")
            as_user = ["setpriv", "--reuid=postgres", "--regid=postgres", "--clear-groups"]
        initdb = [*as_user, str(programs / "initdb"), "-A", "trust", "-U", "bench", str(data)]
        await installing.run(initdb)
        where = ["-h", ports.LOOPBACK, "-p", str(port), "-k", str(data)]
        argv = [*as_user, str(programs / "postgres"), "-D", str(data), *where]
        self._server = Server("PostgreSQL", argv, port, self._folder / "postgres.log")
        await serve(stack, self._folder, self._server)

    def _url(self) -> str:
        return f"postgresql://bench@{self._server.address}/bench"

    def _database(self) -> dict[str, list[int]]:
        return {"PostgreSQL": _pid(self._server)}
