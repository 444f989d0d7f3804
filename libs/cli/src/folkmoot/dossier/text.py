"""How the dossier says things: short, on one line, with numbers as people read them."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

TEXT_CHARS_MAX = 160
"""Of a name, a summary, a licence or a complaint: enough to know what it is."""

NAMED_MAX = 4
"""A sentence that names more is a list."""


def shortened(text: str) -> str:
    """Return a text on one line, without what a terminal would obey, and of limited length."""
    line = " ".join("".join(c if c.isprintable() else " " for c in text).split())
    return line if len(line) <= TEXT_CHARS_MAX else f"{line[: TEXT_CHARS_MAX - 1]}…"


def size_text(size: int | None) -> str:
    """Return a size in bytes as people read it."""
    if size is None:
        return "size not known"
    if size < 1024:
        return f"{size} B"
    if size < 1024 * 1024:
        return f"{size / 1024:,.0f} KiB"
    return f"{size / 1024**2:,.1f} MiB"


def counted(count: int, one: str, many: str) -> str:
    """Return a number of things in the right grammatical number."""
    return f"{count} {one if count == 1 else many}"


def listed(names: Iterable[str]) -> str:
    """Return names as a sentence lists them, at most `NAMED_MAX` of them."""
    every = list(names)
    if len(every) > NAMED_MAX:
        return f"{', '.join(every[:NAMED_MAX])} and {len(every) - NAMED_MAX} more"
    return " and ".join([part for part in (", ".join(every[:-1]), *every[-1:]) if part])


def ranges(numbers: Iterable[int]) -> Sequence[tuple[int, int]]:
    """Return numbers as runs without gaps, each as its first and last."""
    runs: list[tuple[int, int]] = []
    for number in sorted(set(numbers)):
        if runs and runs[-1][1] == number - 1:
            runs[-1] = (runs[-1][0], number)
        else:
            runs.append((number, number))
    return runs
