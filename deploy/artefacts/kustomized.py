"""The overlays as they are applied, so that a review sees what a change of a base does to all."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

FOLDER = Path(__file__).resolve().parents[1] / "k8s"
KUBECTL = Path(sys.prefix) / "bin" / "kubectl"
OVERLAYS = ("dev", "prod")
TIMEOUT_S = 60


def files() -> dict[str, str]:
    """Return each overlay, made from what lies under `deploy/k8s` now."""
    return {f"deploy/k8s/rendered/{name}.yaml": rendered(name) for name in OVERLAYS}


def rendered(overlay: str) -> str:
    """Return what `kubectl apply -k` would apply."""
    command = [str(KUBECTL), "kustomize", str(FOLDER / "overlays" / overlay)]
    return subprocess.run(
        command, check=True, stdout=subprocess.PIPE, text=True, timeout=TIMEOUT_S
    ).stdout
