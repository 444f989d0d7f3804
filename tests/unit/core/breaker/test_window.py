"""The rolling window, against a list of everything that ever ended."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from folkmoot.core.breaker.window import Counts, Window

ENDS = st.tuples(st.integers(0, 40), st.booleans(), st.booleans())


@given(st.lists(ENDS), st.integers(0, 60), st.integers(1, 7), st.integers(1, 4))
def test_it_counts_the_buckets_that_a_list_would(
    ends: list[tuple[int, bool, bool]], later_ms: int, bucket_ms: int, buckets: int
) -> None:
    window, everything, now = Window(bucket_ms, buckets), [], 0
    for gap_ms, failed, slow in ends:
        now += gap_ms
        window.add(now, Counts(1, int(failed), int(slow)))
        everything.append((now, failed, slow))
    now += later_ms
    recent = [end for end in everything if now // bucket_ms - end[0] // bucket_ms < buckets]
    failures = sum(failed for _, failed, _ in recent)
    assert window.counts(now) == (len(recent), failures, sum(slow for _, _, slow in recent))
    assert len(window.ring) <= buckets


@pytest.mark.parametrize(("later_ms", "calls"), [(99, 1), (100, 0)])
def test_a_bucket_leaves_as_a_whole(later_ms: int, calls: int) -> None:
    window = Window(bucket_ms=10, buckets=10)
    window.add(1_000, Counts(1))
    assert window.counts(1_000 + later_ms).calls == calls


def test_time_that_runs_backwards_is_counted_as_now() -> None:
    window = Window(bucket_ms=10, buckets=2)
    window.add(1_000, Counts(1))
    window.add(500, Counts(1, 1))
    assert window.counts(500) == window.counts(1_000) == (2, 1, 0)
    assert window.counts(1_020) == (0, 0, 0)
