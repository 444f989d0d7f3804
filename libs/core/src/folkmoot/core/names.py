"""How a type is called on the wire: `SagaOpened` is `folkmoot.saga-opened.v1`.

One rule instead of a table, so that a name can be read back from the code. A type whose meaning
changes gets a new class with a higher `VERSION`; a reader that meets a version it does not know
halts rather than guesses.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from functools import cache

_WORD_START = re.compile(r"(?<!^)(?=[A-Z])")


def wire_name(cls: type) -> str:
    """Return the wire name of a message or event class."""
    return _wire_name(cls)


@cache
def _wire_name(cls: type) -> str:
    return f"folkmoot.{_WORD_START.sub('-', cls.__name__).lower()}.v{_version(cls)}"


def newest_version(classes: Iterable[type]) -> int:
    """Return the highest version among `classes`, 1 if there are none."""
    return max(map(_version, classes), default=1)


def _version(cls: type) -> int:
    version: int = getattr(cls, "VERSION", 1)
    return version


def by_wire_name(*classes: type) -> Mapping[str, type]:
    """Return `classes` by wire name."""
    return {wire_name(cls): cls for cls in classes}
