"""Which values can be elements, and which of them are the same one."""

from __future__ import annotations

import json
from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from folkmoot.core.crdt import ELEMENT_BYTES_MAX, LimitExceeded, NotJson, ORSet, canonical

LARGEST = (1 << 53) - 1

numbers = st.integers(-LARGEST, LARGEST) | st.floats(allow_nan=False, allow_infinity=False)
values = st.recursive(
    st.none() | st.booleans() | numbers | st.text(st.characters(codec="utf-8")),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(st.characters(codec="utf-8")), inner),
    max_leaves=8,
)


@given(values)
def test_what_is_added_is_read_back_whoever_wrote_the_json(value: Any) -> None:
    text = canonical(value)
    assert json.loads(text) == value
    assert canonical(orjson.loads(orjson.dumps(value))) == text
    assert canonical(json.loads(text)) == text
    assert value in ORSet.from_json(orjson.loads(orjson.dumps(held(value).to_json())))


def held(value: Any) -> ORSet:
    made = ORSet("a")
    made.add(value)
    return made


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (1, 1.0),
        (0, -0.0),
        ({"a": 1, "b": 2}, {"b": 2, "a": 1}),
        (("a", 1), ["a", 1]),
        ([1e3], [1000]),
    ],
)
def test_what_json_cannot_tell_apart_is_one_element(one: Any, other: Any) -> None:
    both = held(one)
    both.add(other)
    assert len(both) == 1
    assert other in held(one)


@pytest.mark.parametrize(
    ("one", "other"), [(1, True), (0, False), ("1", 1), (None, "null"), ([], {}), (1.5, 1)]
)
def test_what_json_can_tell_apart_are_two(one: Any, other: Any) -> None:
    assert other not in held(one)


@pytest.mark.parametrize(
    "value",
    [
        float("nan"),
        float("inf"),
        1 << 53,
        -(1 << 53),
        {1: "a"},
        {None: 1},
        b"bytes",
        {1, 2},
        object(),
        "\ud800",
        ["deep", {"k": ["\udfff"]}],
    ],
)
def test_what_is_no_json_value_is_refused_and_nothing_is_added(value: Any) -> None:
    made = held("before")
    with pytest.raises(NotJson):
        made.add("with it", value)
    assert made.value == ["before"]


def nested(levels: int) -> list[Any]:
    value: list[Any] = []
    for _ in range(levels):
        value = [value]
    return value


@pytest.mark.parametrize(
    "value", ["x" * (ELEMENT_BYTES_MAX - 1), "é" * (ELEMENT_BYTES_MAX // 2), nested(100_000)]
)
def test_what_is_too_large_is_refused_and_nothing_is_added(value: Any) -> None:
    made = held("before")
    with pytest.raises(LimitExceeded):
        made.add("with it", value)
    assert made.value == ["before"]


def test_the_largest_element_is_taken() -> None:
    assert held("x" * (ELEMENT_BYTES_MAX - 2)).value == ["x" * (ELEMENT_BYTES_MAX - 2)]
