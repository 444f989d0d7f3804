"""The dashboards: each asks for what is told, and shows something of a platform that works."""

from __future__ import annotations

import asyncio
import json
import re
from pathlib import Path

import pytest
import yaml

from deploy.artefacts.dashboards import DASHBOARDS, FOLDER, Dashboard, Panel
from deploy.artefacts.files import ROOT
from folkmoot import Client, SagaFailed
from tests.deploy.office import meshed
from tests.deploy.queries import filled_in, problems

PANELS = [(dashboard, panel) for dashboard in DASHBOARDS for panel in dashboard.panels]
NAMES = [f"{dashboard.uid}: {panel.title}" for dashboard, panel in PANELS]
LEGEND = re.compile(r"\{\{(\w+)\}\}")
GRAFANA = ROOT / "deploy" / "grafana"
EMPTY_AT_FIRST = {"Age of the newest snapshot"}


@pytest.mark.parametrize(("dashboard", "panel"), PANELS, ids=NAMES)
def test_a_panel_asks_for_what_is_told(dashboard: Dashboard, panel: Panel) -> None:
    for query in panel.queries.values():
        assert problems(filled_in(query)) == []
        chosen = set(re.findall(r"\$(\w+)", query)) - {"__rate_interval"}
        assert chosen <= set(dashboard.variables)


@pytest.mark.parametrize("dashboard", DASHBOARDS, ids=lambda dashboard: dashboard.uid)
def test_what_is_chosen_on_a_dashboard_has_values(dashboard: Dashboard) -> None:
    for name, metric in dashboard.variables.items():
        assert problems(f'{metric}{{{name}="x"}}') == []


def test_every_dashboard_finds_its_sources() -> None:
    provided = yaml.safe_load((GRAFANA / "provisioning/datasources/datasources.yml").read_text())
    uids = {source["uid"] for source in provided["datasources"]}
    pages = [json.loads(path.read_text()) for path in (ROOT / FOLDER).glob("*.json")]
    assert {panel["datasource"]["uid"] for page in pages for panel in page["panels"]} == uids
    assert len({page["uid"] for page in pages}) == len(pages) == len(DASHBOARDS) + 1


@pytest.mark.e2e
@pytest.mark.timeout(180)
async def test_each_panel_shows_something_of_a_platform_that_works(tmp_path: Path) -> None:
    async with meshed(tmp_path) as (mesh, prometheus), Client.on(mesh.bus) as client:

        async def work() -> None:
            while True:
                await (await client.submit("office", "dry")).result(timeout_s=30)
                with pytest.raises(SagaFailed):
                    await (await client.submit("office", "missing")).result(timeout_s=30)

        working = asyncio.create_task(work())
        for name, (_, panel) in zip(NAMES, PANELS, strict=True):
            if panel.title not in EMPTY_AT_FIRST:
                for legend, query in panel.queries.items():
                    labels = await prometheus.answers(filled_in(query))
                    assert labels >= set(LEGEND.findall(legend)), f"{name}: {labels}"
        working.cancel()
