"""Builds synthetic environments: folders of metadata as installers leave them, whole or broken."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from folkmoot.dossier.analysis import analyse
from folkmoot.dossier.corpus import distributions
from folkmoot.dossier.facts import Reading, read
from folkmoot.dossier.models import Analysis


class Environment:
    """A folder that stands in for site-packages."""

    def __init__(self, site: Path) -> None:
        self.site = site
        self.path = [str(site)]

    def add(
        self,
        name: str,
        version: str = "1.0",
        *headers: str,
        files: Mapping[str, int | str] | None = None,
        needs: Sequence[str] = (),
    ) -> Path:
        """Install a distribution with further METADATA `headers`; RECORD lists `files`."""
        folder = self.site / f"{name.replace('-', '_')}-{version}.dist-info"
        folder.mkdir()
        lines = ["Metadata-Version: 2.4", f"Name: {name}", f"Version: {version}", *headers]
        lines += [f"Requires-Dist: {need}" for need in needs]
        (folder / "METADATA").write_text("\n".join(lines) + "\n\nLong text.\n", encoding="utf-8")
        rows = [f"{file},sha256=x,{size}" for file, size in (files or {}).items()]
        (folder / "RECORD").write_text("\n".join([*rows, f"{folder.name}/RECORD,,"]) + "\n")
        return folder

    def read(self, name: str) -> Reading:
        """Read one distribution of this environment."""
        return read(name, self.path)

    def facts(self) -> list[list[Any]]:
        """Return all facts, as they come out of the shared set."""
        return [list(fact) for name in distributions(self.path) for fact in self.read(name).facts]

    def said(self, name: str) -> dict[str, list[Any]]:
        """Return what is known of one distribution, by predicate."""
        said: dict[str, list[Any]] = {}
        for fact in self.read(name).facts:
            said.setdefault(fact.predicate, []).append(fact.value)
        return said

    def analyse(self) -> Analysis:
        """Return the analysis of everything in it."""
        return analyse(self.facts())
