"""Cutting states into parts that fit a message each."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable
from typing import Any, TypeVar

T = TypeVar("T")


def json_bytes(value: Any) -> int:
    """Return how many bytes of JSON `value` takes at most, whoever writes it."""
    return len(json.dumps(value, separators=(",", ":"))) + 1


def runs(items: Iterable[T], bytes_of: Callable[[T], int], bytes_max: int) -> list[list[T]]:
    """Return `items` in runs of at most `bytes_max` each; a larger item is a run of its own."""
    made: list[list[T]] = []
    size = 0
    for item in items:
        more = bytes_of(item)
        if not made or size + more > bytes_max:
            made.append([])
            size = 0
        made[-1].append(item)
        size += more
    return made
