"""Which distributions there are, and how to share out the reading of them."""

from __future__ import annotations

from collections.abc import Sequence
from importlib import metadata
from pathlib import Path

from packaging.utils import canonicalize_name

from folkmoot.dossier.text import shortened

BROKEN = (KeyError, OSError, TypeError, ValueError, AttributeError)
"""What broken metadata makes `importlib.metadata` raise: ValueError holds the encodings, OSError
the files, the others stand for a METADATA that is missing or empty. Versions of Python differ."""

SUFFIXES = (".dist-info", ".egg-info")


def normalise(name: str) -> str:
    """Return a project's name as PEP 503 compares it."""
    return str(canonicalize_name(name))


def distributions(path: Sequence[str] | None = None) -> dict[str, metadata.Distribution]:
    """Return the installed distributions by normalised name; of `path` if given.

    Where a name is installed twice the first on the path counts, as for an import. What does not
    say its name goes by its folder's.
    """
    found: dict[str, metadata.Distribution] = {}
    everything = metadata.distributions(path=list(path)) if path else metadata.distributions()
    for distribution in everything:
        found.setdefault(name_of(distribution), distribution)
    return dict(sorted(found.items()))


def find(name: str, path: Sequence[str] | None = None) -> metadata.Distribution | None:
    """Return the distribution of a normalised name, or None.

    Looks by the folder's name first, which is quick, and through all of them only if that fails.
    """
    if path is None:
        try:
            found = metadata.distribution(name)
        except metadata.PackageNotFoundError:
            found = None
        if found is not None and name_of(found) == name:
            return found
    return distributions(path).get(name)


def name_of(distribution: metadata.Distribution) -> str:
    """Return a distribution's normalised name; from its folder if its metadata does not say."""
    try:
        name = distribution.metadata.get("Name")  # type: ignore[attr-defined]
    except BROKEN:
        name = None
    return normalise(shortened(str(name or _stem(folder(distribution)))))


def _stem(folder_name: str) -> str:
    for suffix in SUFFIXES:
        folder_name = folder_name.removesuffix(suffix)
    return folder_name.split("-")[0]


def folder(distribution: metadata.Distribution) -> str:
    """Return the name of a distribution's metadata folder, which its sources are named after."""
    path = getattr(distribution, "_path", None)
    return path.name if isinstance(path, Path) else "unknown.dist-info"


def shards(names: Sequence[str], count: int) -> list[list[str]]:
    """Return `names` dealt out into at most `count` shards of about the same number."""
    dealt = [list(names[start::count]) for start in range(max(1, count))]
    return [shard for shard in dealt if shard]
