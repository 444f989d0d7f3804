"""An empty environment for each test."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.unit.dossier.environments import Environment


@pytest.fixture
def environment(tmp_path: Path) -> Environment:
    site = tmp_path / "site"
    site.mkdir()
    return Environment(site)
