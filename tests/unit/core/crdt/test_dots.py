"""Sets of dots against Python's own sets."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from folkmoot.core.crdt import Dot, Dots, MalformedState

dots = st.builds(Dot, st.sampled_from(["a", "b"]), st.integers(1, 9))
sets = st.sets(dots)


@given(sets, sets)
def test_they_combine_as_sets_do(some: set[Dot], others: set[Dot]) -> None:
    mine, other = Dots(some), Dots(others)
    assert set(mine) == some
    assert set(mine.minus(other)) == some - others
    assert set(mine.common(other)) == some & others
    assert mine.join(other) == bool(others - some)
    assert mine == Dots(some | others)


@given(sets, st.lists(dots))
def test_they_change_as_sets_do(some: set[Dot], taken: list[Dot]) -> None:
    mine = Dots(some)
    for dot in taken:
        mine.discard(dot)
        some.discard(dot)
        assert mine == Dots(some)
    assert mine.dot_count() == len(some)
    assert bool(mine) == bool(some)
    assert all((dot in mine) == (dot in some) for dot in taken)
    assert mine.highest("a") == max((n for replica, n in some if replica == "a"), default=0)


@given(sets)
def test_they_are_as_few_intervals_as_there_can_be(some: set[Dot]) -> None:
    first_of_a_run = [dot for dot in some if Dot(dot.replica, dot.n - 1) not in some]
    assert Dots(some).interval_count() == len(first_of_a_run)


@given(sets)
def test_they_are_read_back_from_json(some: set[Dot]) -> None:
    assert Dots.from_json(Dots(some).to_json()) == Dots(some)


@pytest.mark.parametrize(
    "value",
    [
        None,
        {"a": None},
        {"a": []},
        {"": [[1, 1]]},
        {"a": [[0, 1]]},
        {"a": [[2, 1]]},
        {"a": [[1, 1 << 53]]},
        {"a": [[1, True]]},
        {"a": [[1.0, 2]]},
        {"a": [[1, 2, 3]]},
        {"a": [[1, 2], [3, 4]]},
        {"a": [[1, 5], [3, 9]]},
        {"a": [[8, 9], [1, 2]]},
        {"a" * 513: [[1, 2]]},
        {"\ud800": [[1, 2]]},
    ],
)
def test_only_what_it_would_have_written_itself_is_read(value: object) -> None:
    with pytest.raises(MalformedState):
        Dots.from_json(value)


def test_intervals_beyond_counting_are_combined_at_once() -> None:
    everything = Dots.from_json({str(n): [[1, (1 << 53) - 1]] for n in range(3_000)})
    few = Dots([Dot("1", 5), Dot("x", 1)])
    assert set(few.common(everything)) == {Dot("1", 5)}
    assert set(few.minus(everything)) == {Dot("x", 1)}
    assert everything.dot_count() > 1 << 63
