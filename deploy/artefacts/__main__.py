"""Writes every generated file anew."""

from __future__ import annotations

from deploy.artefacts.files import ROOT, made

if __name__ == "__main__":
    for name, text in made().items():
        path = ROOT / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
