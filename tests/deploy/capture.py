"""`python -m tests.deploy.capture`: writes what each panel shows of a small mesh, as text.

Grafana draws it; what is asked, and what a real Prometheus answers, is the same.
"""

from __future__ import annotations

import asyncio
import contextlib
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from deploy.artefacts.dashboards import DASHBOARDS, Dashboard, Panel
from deploy.artefacts.files import ROOT
from folkmoot import Client, SagaFailed
from tests.deploy.office import meshed
from tests.deploy.queries import filled_in
from tests.deploy.watching import Prometheus

PAGE = ROOT / "docs" / "reference" / "dashboards.md"
WORK_S = 75.0
"""Longer than the minute over which rates are taken."""

ANSWER_WITHIN_S, POLL_S = 10.0, 0.2
SERIES_MAX = 8

HEAD = """# Dashboards

`deploy/grafana` has a dashboard of the platform, of a team's sagas, of breakers, of the bus, and of
one saga, which is its trace from Jaeger. They are made by `make artefacts` from a list of queries.

What follows is text, not a picture: what a real Prometheus answered to each query of each panel,
while an embedded mesh of one member ran sagas one after the other, of which every second failed and
was undone (`python -m tests.deploy.capture`). No Grafana has drawn them. The figures are those of a
busy machine, and mean nothing but that each panel has something to show.
"""


async def captured(folder: Path) -> str:
    """Return the page."""
    async with meshed(folder) as (mesh, prometheus), Client.on(mesh.bus) as client:
        working = asyncio.create_task(_work(client))
        await asyncio.sleep(WORK_S)
        capture = Capture(prometheus)
        parts = [await capture.dashboard(each) for each in DASHBOARDS]
        working.cancel()
    return "\n".join([HEAD, *parts])


async def _work(client: Client) -> None:
    while True:
        await (await client.submit("office", "dry")).result()
        with contextlib.suppress(SagaFailed):
            await (await client.submit("office", "missing")).result()


class Capture:
    """Writes dashboards down. Processes are numbered: their ports are of one run only."""

    def __init__(self, prometheus: Prometheus) -> None:
        self._prometheus = prometheus
        self._processes: dict[str, str] = {}

    async def dashboard(self, dashboard: Dashboard) -> str:
        """Return each panel's title, and what it shows."""
        shown = [f"## {dashboard.title}\n"]
        for panel in dashboard.panels:
            shown += [f"### {panel.title}\n", "```", *await self._panel(panel), "```\n"]
        return "\n".join(shown)

    async def _panel(self, panel: Panel) -> list[str]:
        lines: list[str] = []
        for legend, query in panel.queries.items():
            found = await self._answered(filled_in(query))
            lines += [self._line(legend, panel.unit, each) for each in found[:SERIES_MAX]]
            if len(found) > SERIES_MAX:
                lines.append(f"and {len(found) - SERIES_MAX} more")
        return lines or ["nothing yet"]

    async def _answered(self, query: str) -> list[Mapping[str, Any]]:
        """Ask until there is an answer: on a busy machine one scrape or another comes too late."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(ANSWER_WITHIN_S):
                while not (found := await self._prometheus.query(query)):
                    await asyncio.sleep(POLL_S)
                return list(found)
        return []

    def _line(self, legend: str, unit: str, series: Mapping[str, Any]) -> str:
        for name, value in series["metric"].items():
            known = self._process(value) if name == "instance" else value
            legend = legend.replace(f"{{{{{name}}}}}", known)
        shown = "" if unit in ("short", "none") else unit
        return f"{legend:<68} {float(series['value'][1]):>12.5g} {shown}".rstrip()

    def _process(self, instance: str) -> str:
        return self._processes.setdefault(instance, f"process-{len(self._processes) + 1}")


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as temporary:
        PAGE.write_text(asyncio.run(captured(Path(temporary))))
