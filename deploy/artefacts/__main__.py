"""Writes every generated file anew."""

from __future__ import annotations

from deploy.artefacts.files import write

if __name__ == "__main__":
    write()
