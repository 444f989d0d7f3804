"""The reader's rule, case by case; see libs/core/src/folkmoot/core/kernel/README.md."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from folkmoot.core.kernel import (
    COURTESY_MS,
    NOTHING,
    Beat,
    Claim,
    Entry,
    Leadership,
    Resign,
    Verdict,
)


def claim(member: str, term: int = NOTHING, last: int = NOTHING, **fields: int) -> Claim:
    return Claim(member, fields.pop("at", 0), term, last, **fields)


def led_by_a() -> Leadership:
    leadership = Leadership()
    assert leadership.observe(0, claim("a")) is Verdict.WON
    return leadership


def test_the_first_claim_wins_whatever_it_expects() -> None:
    leadership = Leadership()
    assert leadership.observe(7, claim("a", 3, 5)) is Verdict.WON
    assert (leadership.term, leadership.holder, leadership.last) == (7, "a", 7)


def test_a_beat_ordered_before_a_claim_defeats_it() -> None:
    leadership = led_by_a()
    assert leadership.observe(1, Beat(0, 10)) is Verdict.ACCEPTED
    assert leadership.observe(2, claim("b", 0, 0)) is Verdict.LOST
    assert leadership.holder == "a"
    assert leadership.last == 1


def test_a_claim_that_saw_everything_takes_over_in_a_new_term() -> None:
    leadership = led_by_a()
    leadership.observe(1, Entry(0, 10, ()))
    assert leadership.observe(2, claim("b", 0, 1)) is Verdict.WON
    assert (leadership.term, leadership.holder) == (2, "b")


@pytest.mark.parametrize("record", [Entry(0, 9, ()), Beat(0, 9), Resign(0, 9)])
def test_a_record_of_an_old_term_is_dropped(record: Entry | Beat | Resign) -> None:
    leadership = led_by_a()
    leadership.observe(1, claim("b", 0, 0))
    before = replace(leadership)
    assert leadership.observe(2, record) is Verdict.FENCED
    assert leadership == before


def test_of_two_claims_that_saw_the_same_the_first_wins() -> None:
    leadership = led_by_a()
    assert leadership.observe(1, claim("b", 0, 0)) is Verdict.WON
    assert leadership.observe(2, claim("c", 0, 0)) is Verdict.LOST


def test_an_heir_comes_before_others_until_the_courtesy_is_over() -> None:
    leadership = led_by_a()
    leadership.observe(1, Resign(0, 1_000, to="b"))
    assert leadership.observe(2, claim("c", at=1_000 + COURTESY_MS - 1)) is Verdict.LOST
    in_time = replace(leadership)
    assert in_time.observe(3, claim("b", at=1_001)) is Verdict.WON
    assert leadership.observe(3, claim("c", at=1_000 + COURTESY_MS)) is Verdict.WON


def test_a_resignation_without_heir_opens_the_shard_to_all() -> None:
    leadership = led_by_a()
    leadership.observe(1, Resign(0, 1_000))
    assert leadership.holder is None
    assert leadership.observe(2, claim("c", at=0)) is Verdict.WON


def test_after_a_resignation_the_old_leader_is_fenced() -> None:
    leadership = led_by_a()
    leadership.observe(1, Resign(0, 1_000))
    assert leadership.observe(2, Entry(0, 1_001, ())) is Verdict.FENCED


def test_a_claim_with_an_older_grant_loses() -> None:
    leadership = Leadership()
    leadership.observe(0, claim("a", epoch=5))
    assert leadership.observe(1, claim("b", 0, 0, epoch=4)) is Verdict.LOST
    assert leadership.observe(2, claim("c", 0, 0, epoch=6)) is Verdict.WON
    assert leadership.epoch == 6


RECORDS = st.one_of(
    st.builds(
        Claim,
        st.sampled_from("abc"),
        st.integers(0, 2_000),
        st.integers(NOTHING, 8),
        st.integers(NOTHING, 8),
        st.integers(0, 3),
    ),
    st.builds(Beat, st.integers(NOTHING, 8), st.integers(0, 2_000)),
    st.builds(Entry, st.integers(NOTHING, 8), st.integers(0, 2_000), st.just(())),
    st.builds(
        Resign,
        st.integers(NOTHING, 8),
        st.integers(0, 2_000),
        st.sampled_from(["a", "b", None]),
    ),
)


@given(st.lists(RECORDS, max_size=10))
def test_terms_strictly_increase_and_no_claim_beats_a_leader_record_before_it(
    records: list[Claim | Beat | Entry | Resign],
) -> None:
    leadership, terms = Leadership(), [NOTHING]
    for offset, record in enumerate(records):
        holder, term, last = leadership.holder, leadership.term, leadership.last
        verdict = leadership.observe(offset, record)
        if verdict is Verdict.WON:
            assert isinstance(record, Claim)
            assert leadership.term > terms[-1]
            terms.append(leadership.term)
            if holder is not None:
                assert (record.expected_term, record.expected_last) == (term, last)
        elif verdict is not Verdict.ACCEPTED:
            assert (leadership.holder, leadership.term, leadership.last) == (holder, term, last)
