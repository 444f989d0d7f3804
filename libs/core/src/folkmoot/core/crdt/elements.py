"""The elements of sets: JSON values, each with one text that stands for it.

Two elements are equal if JSON cannot tell them apart, so a whole number is one element whether it
was written `1` or `1.0`; a truth value is never a number. The text is what is hashed, compared,
sorted and stored; it follows RFC 8785 in spirit (sorted keys, no white space, whole floats as
integers), and is only ever compared with texts made here.
"""

from __future__ import annotations

import json
from typing import Any

from folkmoot.core.crdt.limits import (
    ELEMENT_BYTES_MAX,
    ELEMENT_DEPTH_MAX,
    NUMBER_MAX,
    LimitExceeded,
)

Json = Any


class NotJson(TypeError):
    """An element is no JSON value; nothing was changed. Add what JSON can write."""


def canonical(element: Json) -> str:
    """Return the text of an element, the same for equal elements.

    Raises:
        LimitExceeded: it is too long or nested too deeply.
        NotJson: it is no JSON value that every reader would read alike.
    """
    text = json.dumps(
        _plain(element, ELEMENT_DEPTH_MAX),
        sort_keys=True,
        separators=(",", ":"),
        ensure_ascii=False,
    )
    try:
        size = len(text) if text.isascii() else len(text.encode())
    except UnicodeEncodeError as error:
        raise NotJson(f"an element holds half a character, as in {text[:40]!r}") from error
    if size > ELEMENT_BYTES_MAX:
        raise LimitExceeded(
            f"an element has {size:,} bytes of JSON, at most {ELEMENT_BYTES_MAX:,} are allowed: "
            "keep it elsewhere and add a reference to it"
        )
    return text


def _plain(value: Any, depth: int) -> Any:
    """Return `value` made of JSON's own types alone, whole floats as integers."""
    if value is None or isinstance(value, bool | str):
        return value
    if isinstance(value, int | float):
        return _number(value)
    if depth == 0:
        raise LimitExceeded(f"an element is nested deeper than {ELEMENT_DEPTH_MAX} levels")
    if isinstance(value, list | tuple):
        return [_plain(each, depth - 1) for each in value]
    if isinstance(value, dict):
        return {_key(key): _plain(each, depth - 1) for key, each in value.items()}
    raise NotJson(f"{value!r} is no JSON value, so it can be no element of a set")


def _number(value: float) -> float:
    if isinstance(value, int):
        if abs(value) > NUMBER_MAX:
            raise NotJson(f"{value} is beyond what every JSON reader can hold: add it as a text")
        return value
    if value != value or value in (float("inf"), float("-inf")):
        raise NotJson(f"{value} is no JSON number")
    return int(value) if value.is_integer() and abs(value) <= NUMBER_MAX else value


def _key(key: Any) -> str:
    if not isinstance(key, str):
        raise NotJson(f"{key!r} is no key of a JSON object: keys are texts")
    return key
