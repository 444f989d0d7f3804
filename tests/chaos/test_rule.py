"""The judge's reader and the kernel's are two programs; on any log they agree."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from folkmoot.bus import Stored
from folkmoot.contracts.codec import encode_record
from folkmoot.core.kernel import (
    Beat,
    Claim,
    Entry,
    Leadership,
    LogRecord,
    Progress,
    Resign,
    Verdict,
)
from tests.chaos.rule import counted

MEMBERS = ("a", "b", "c")
choices = st.lists(
    st.tuples(
        st.sampled_from(("claim", "stale", "entry", "beat", "resign", "zombie")),
        st.sampled_from(MEMBERS),
        st.sampled_from((None, *MEMBERS)),
        st.integers(0, 400),
        st.integers(0, 2),
    ),
    max_size=40,
)


def _record(
    leadership: Leadership, what: str, member: str, to: str | None, at: int, epoch: int
) -> LogRecord:
    term = leadership.term - (what == "zombie")
    if what in ("claim", "stale"):
        return Claim(member, at, term, leadership.last - (what == "stale"), epoch)
    if what == "resign":
        return Resign(term, at, to)
    return Beat(term, at, Progress()) if what == "beat" else Entry(term, at, (), Progress())


@settings(max_examples=300)
@given(choices)
def test_the_same_records_count(steps: list[tuple[str, str, str | None, int, int]]) -> None:
    leadership, at = Leadership(), 0
    log: list[Stored] = []
    expected: list[tuple[int, str]] = []
    for what, member, to, later, epoch in steps:
        at += later
        record = _record(leadership, what, member, to, at, epoch)
        value, headers = encode_record(record, "o", len(log))
        holder = leadership.holder
        verdict = leadership.observe(len(log), record)
        if verdict in (Verdict.ACCEPTED, Verdict.WON):
            leader = leadership.holder if verdict is Verdict.WON else holder
            expected.append((len(log), leader or ""))
        log.append(Stored(len(log), at, value, None, headers))
    assert [(each.offset, each.leader) for each in counted(log)] == expected


def test_what_a_zombie_wrote_does_not_count() -> None:
    records: list[LogRecord] = [
        Claim("a", 0, -1, -1),
        Claim("b", 9, 0, 0),
        Entry(0, 10, (), Progress()),
        Entry(1, 10, (), Progress()),
    ]
    log = []
    for offset, record in enumerate(records):
        value, headers = encode_record(record, "o", offset)
        log.append(Stored(offset, 0, value, None, headers))
    assert [each.offset for each in counted(log)] == [0, 1, 3]


@pytest.mark.parametrize(("at", "wins"), [(499, False), (500, True)])
def test_others_wait_for_the_heir(at: int, wins: bool) -> None:
    records: list[LogRecord] = [Claim("a", 0, -1, -1), Resign(0, 0, "b"), Claim("c", at, 0, 1)]
    log = []
    for offset, record in enumerate(records):
        value, headers = encode_record(record, "o", offset)
        log.append(Stored(offset, 0, value, None, headers))
    assert (2 in [each.offset for each in counted(log)]) is wins
