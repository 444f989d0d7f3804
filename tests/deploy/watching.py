"""A real Prometheus with the rules that are shipped, watching services of this process.

Its clock runs sixty times as fast: a rule's minute is a second here, and so is the interval at
which it scrapes, so that what fires after five minutes can be seen to fire.
"""

from __future__ import annotations

import asyncio
import json
import re
import subprocess
import time
import urllib.parse
import urllib.request
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import uvicorn
import yaml

from deploy.artefacts.files import ROOT
from deploy.programs import prometheus_program
from folkmoot.local.ports import free_port
from folkmoot.runtime.loop_watch import LoopWatch
from folkmoot.runtime.metrics import registry
from folkmoot.runtime.service import Service
from folkmoot.runtime.shell import asgi_app
from folkmoot.testing.eventually import eventually

SHIPPED = ROOT / "deploy" / "prometheus"
SPEED = 60
PATIENCE_S = 45.0
DURATION = re.compile(r"\b(\d+)(s|m)\b")
MS = {"s": 1_000, "m": 60_000}


def faster(text: str) -> str:
    """Return `text` with each duration a sixtieth of itself."""
    return DURATION.sub(lambda found: f"{int(found[1]) * MS[found[2]] // SPEED}ms", text)


class Prometheus:
    """The server, as far as it is asked here."""

    def __init__(self, port: int) -> None:
        self._url = f"http://127.0.0.1:{port}"

    async def ready(self) -> bool:
        return await asyncio.to_thread(self._get, "/-/ready") is not None

    async def alerts(self, name: str) -> list[Mapping[str, str]]:
        """Return the labels of each alert of that name that fires now."""
        answer = await asyncio.to_thread(self._get, "/api/v1/alerts")
        alerts = json.loads(answer or b"{}").get("data", {}).get("alerts", [])
        firing = [alert["labels"] for alert in alerts if alert["state"] == "firing"]
        return [labels for labels in firing if labels["alertname"] == name]

    async def scraped(self, count: int) -> None:
        """Wait until so many processes have been scraped."""

        async def look() -> bool:
            return len(await self.query("up == 1")) == count

        await _until(look, f"{count} processes are scraped")

    async def answers(self, query: str) -> set[str]:
        """Wait until a query has an answer, and return the labels that each series of it has."""
        found: list[Mapping[str, Any]] = []

        async def look() -> bool:
            found[:] = [each for each in await self.query(query) if each["value"][1] != "NaN"]
            return bool(found)

        await _until(look, f"{query} has an answer")
        return set.intersection(*(set(each["metric"]) for each in found))

    async def query(self, query: str) -> list[Mapping[str, Any]]:
        """Return the series that answer a query now."""
        path = f"/api/v1/query?{urllib.parse.urlencode({'query': query})}"
        answer = await asyncio.to_thread(self._get, path)
        return [] if answer is None else list(json.loads(answer)["data"]["result"])

    async def fires(self, name: str, **labels: str) -> None:
        """Wait until that alert fires with such labels."""
        seen: list[Mapping[str, str]] = []

        async def look() -> bool:
            seen[:] = await self.alerts(name)
            return any(labels.items() <= each.items() for each in seen)

        await _until(look, f"{name} fires with {labels}")

    def _get(self, path: str) -> bytes | None:
        try:
            with urllib.request.urlopen(self._url + path, timeout=10) as answer:
                return bytes(answer.read())
        except OSError:
            return None


async def _until(look: Callable[[], Awaitable[bool]], what: str) -> None:
    deadline = time.monotonic() + PATIENCE_S
    while not await look():
        assert time.monotonic() < deadline, f"{what}: not within {PATIENCE_S:g} s"
        await asyncio.sleep(0.1)


@asynccontextmanager
async def watched(
    folder: Path, services: Sequence[Service], watch: LoopWatch | None = None
) -> AsyncIterator[tuple[Prometheus, list[uvicorn.Server]]]:
    """Serve the metrics of `services`, and have them scraped; the servers are in their order."""
    servers = [_server(service, watch) for service in services]
    serving = [asyncio.create_task(server.serve()) for server in servers]
    try:
        await eventually(lambda: all(server.started for server in servers), PATIENCE_S)
        async with _prometheus(folder, [server.config.port for server in servers]) as prometheus:
            await prometheus.scraped(len(servers))
            yield prometheus, servers
    finally:
        for server in servers:
            server.should_exit = True
        await asyncio.gather(*serving)


class _Server(uvicorn.Server):
    def install_signal_handlers(self) -> None:
        """Leave signals to pytest."""


def _server(service: Service, watch: LoopWatch | None) -> uvicorn.Server:
    app = asgi_app(service.health, registry(service, watch))
    config = uvicorn.Config(
        app,
        host="127.0.0.1",
        port=free_port(),
        log_level="error",
        lifespan="off",
        timeout_graceful_shutdown=1,
    )
    return _Server(config)


@asynccontextmanager
async def _prometheus(folder: Path, ports: Sequence[int]) -> AsyncIterator[Prometheus]:
    _write_config(folder, ports)
    port = free_port()
    program = await asyncio.to_thread(prometheus_program, "prometheus")
    command = [
        str(program),
        f"--config.file={folder / 'prometheus.yml'}",
        f"--storage.tsdb.path={folder / 'data'}",
        f"--web.listen-address=127.0.0.1:{port}",
        "--log.level=error",
    ]
    process = await asyncio.create_subprocess_exec(*command, stderr=subprocess.DEVNULL)
    prometheus = Prometheus(port)
    try:
        async with asyncio.timeout(PATIENCE_S):
            while not await prometheus.ready():
                assert process.returncode is None, "prometheus ended"
                await asyncio.sleep(0.05)
        yield prometheus
    finally:
        process.terminate()
        await process.wait()


def _write_config(folder: Path, ports: Sequence[int]) -> None:
    """Write the shipped configuration, with other targets and on a faster clock."""
    config: dict[str, Any] = yaml.safe_load(faster((SHIPPED / "prometheus.yml").read_text()))
    (job,) = config["scrape_configs"]
    del job["dns_sd_configs"]
    job["static_configs"] = [{"targets": [f"127.0.0.1:{port}" for port in ports]}]
    (folder / "prometheus.yml").write_text(yaml.safe_dump(config))
    (folder / "alerts.yml").write_text(faster((SHIPPED / "alerts.yml").read_text()))
