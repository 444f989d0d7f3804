"""How things are said."""

from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from folkmoot.dossier.text import counted, listed, ranges, shortened, size_text


@pytest.mark.parametrize(
    ("size", "said"),
    [
        (None, "size not known"),
        (0, "0 B"),
        (1023, "1023 B"),
        (1024, "1 KiB"),
        (1024**2, "1.0 MiB"),
        (1234 * 1024**2, "1,234.0 MiB"),
    ],
)
def test_sizes(size: int | None, said: str) -> None:
    assert size_text(size) == said


@pytest.mark.parametrize(
    ("names", "said"),
    [
        ("", ""),
        ("a", "a"),
        ("ab", "a and b"),
        ("abcd", "a, b, c and d"),
        ("abcdef", "a, b, c, d and 2 more"),
    ],
)
def test_lists(names: str, said: str) -> None:
    assert listed(names) == said


def test_numbers_agree_with_their_nouns() -> None:
    assert [counted(n, "is", "are") for n in (0, 1, 2)] == ["0 are", "1 is", "2 are"]


@given(st.lists(st.integers(1, 60)))
def test_ranges_hold_exactly_the_numbers(numbers: list[int]) -> None:
    runs = ranges(numbers)
    assert [n for a, b in runs for n in range(a, b + 1)] == sorted(set(numbers))
    assert all(b + 1 < a for (_, b), (a, _) in pairwise(runs))


@given(st.text())
def test_shortened_text_is_printable_and_stays_as_it_is(text: str) -> None:
    assert shortened(text) == "" or shortened(text).isprintable()
    assert shortened(shortened(text)) == shortened(text)
