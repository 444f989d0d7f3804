"""Which distributions there are, and how to share out the reading of them."""

from __future__ import annotations

import re
from collections.abc import Sequence
from importlib import metadata
from pathlib import Path


def normalise(name: str) -> str:
    """Return a project's name as PEP 503 compares it."""
    return re.sub(r"[-_.]+", "-", name).lower()


def distributions(path: Sequence[str] | None = None) -> dict[str, metadata.Distribution]:
    """Return the installed distributions by normalised name; of `path` if given.

    Where a name is installed twice the first on the path counts, as for an import. What has no
    name is left out: nothing could be said of it.
    """
    found: dict[str, metadata.Distribution] = {}
    everything = metadata.distributions(path=list(path)) if path else metadata.distributions()
    for distribution in everything:
        name = _name(distribution)
        if name:
            found.setdefault(normalise(name), distribution)
    return dict(sorted(found.items()))


def _name(distribution: metadata.Distribution) -> str | None:
    try:
        return distribution.metadata["Name"]
    except (KeyError, OSError, UnicodeDecodeError, TypeError):
        return None


def shards(names: Sequence[str], count: int) -> list[list[str]]:
    """Return `names` dealt out into at most `count` shards of about the same number."""
    dealt = [list(names[start::count]) for start in range(max(1, count))]
    return [shard for shard in dealt if shard]


def folder(distribution: metadata.Distribution) -> str:
    """Return the name of a distribution's metadata folder, which its sources are named after."""
    path = getattr(distribution, "_path", None)
    if isinstance(path, Path):
        return path.name
    return f"{distribution.metadata['Name']}-{distribution.version}.dist-info"
