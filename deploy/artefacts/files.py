"""All generated files, by their names from the root of the repository."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from deploy.artefacts import (
    access,
    dashboards,
    kustomized,
    licences,
    metrics_page,
    strimzi,
    traces_page,
)

ROOT = Path(__file__).resolve().parents[2]

PARTS: tuple[Callable[[], dict[str, str]], ...] = (
    metrics_page.files,
    traces_page.files,
    dashboards.files,
    access.files,
    licences.files,
    strimzi.files,
    kustomized.files,  # last: it is made from what others make
)


def made() -> dict[str, str]:
    """Return what each generated file should hold."""
    return {name: text for part in PARTS for name, text in part().items()}


def write() -> None:
    """Write all of them."""
    for part in PARTS:
        for name, text in part().items():
            path = ROOT / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text)
