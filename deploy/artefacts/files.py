"""All generated files, by their names from the root of the repository."""

from __future__ import annotations

from pathlib import Path

from deploy.artefacts import dashboards, metrics_page

ROOT = Path(__file__).resolve().parents[2]


def made() -> dict[str, str]:
    """Return what each generated file should hold."""
    return {**metrics_page.files(), **dashboards.files()}
