"""A set of deadlines, against a dictionary that is sorted whenever it is asked."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from folkmoot.core.deadlines import Deadlines

keys = st.sampled_from("abcde")
times = st.integers(0, 9)
steps = st.lists(st.tuples(st.sampled_from(["set", "set", "drop", "ask"]), keys, times))


@given(steps, st.integers(0, 6))
def test_it_says_what_a_sorted_dictionary_would_say(
    steps: list[tuple[str, str, int]], limit: int
) -> None:
    deadlines, plain = Deadlines(), dict[str, int]()
    for step, key, at in steps:
        if step == "set":
            deadlines.set(key, at)
            plain[key] = at
        elif step == "drop":
            deadlines.drop(key)
            plain.pop(key, None)
        else:
            expected = sorted((t, k) for k, t in plain.items() if t <= at)[:limit]
            assert deadlines.due(at, limit) == [k for _, k in expected]
        assert deadlines.earliest() == min(plain.values(), default=None)
        assert deadlines.get(key) == plain.get(key)
    assert len(deadlines) == len(plain)
    assert set(deadlines) == set(plain)


def test_equality_is_that_of_the_deadlines_whatever_was_asked() -> None:
    one, other = Deadlines(), Deadlines()
    one.set("a", 1)
    one.set("a", 2)
    other.set("a", 2)
    assert one == other
    one.earliest()
    assert one == other
    other.set("b", 3)
    assert one != other


def test_a_key_that_is_set_for_ever_costs_no_memory() -> None:
    deadlines = Deadlines()
    for at in range(10_000):
        deadlines.set("a", at)
    assert len(deadlines._heap) < 100
    assert deadlines.earliest() == 9_999
