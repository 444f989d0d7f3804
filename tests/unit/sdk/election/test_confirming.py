"""What a member makes of the election's log, which it begins to read in the middle."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from folkmoot.bus.ports import Stored
from folkmoot.contracts.codec import encode_record
from folkmoot.core.election import (
    LeaderElected,
    MemberWithdrew,
    RequestRefused,
    SessionEnded,
    SessionOpened,
    SessionRenewed,
    SessionTtlChanged,
)
from folkmoot.core.kernel import Beat, Claim, Entry, InputRejected, LogRecord, Progress, Resign
from folkmoot.sdk.election.confirming import (
    Answered,
    Confirmed,
    Deposed,
    Ended,
    Word,
    _ShardReader,
)

NOTHING_MORE = Progress({}, {}, None)
FIRST = 5_000


def read(*records: LogRecord) -> list[Word]:
    """Return what the member "a" is told by records that follow on each other."""
    reader, words = _ShardReader(3, "a"), list[Word]()
    for offset, record in enumerate(records, FIRST):
        value, headers = encode_record(record, "log", offset)
        words += reader.words(Stored(offset, 0, value, None, headers))
    return words


def entry(term: int, *events: object) -> Entry:
    return Entry(term, 1_000, events, NOTHING_MORE)


@pytest.mark.parametrize(
    ("event", "words"),
    [
        (SessionOpened("a", "node", 900, 4), [Confirmed(3, 4)]),
        (SessionRenewed("a", 5), [Confirmed(3, 5)]),
        (SessionTtlChanged("a", 800, 6), [Confirmed(3, 6)]),
        (SessionRenewed("b", 5), []),
        (SessionRenewed("aa", 5), []),
        (SessionEnded("a", "session-expired"), [Ended(3, FIRST)]),
        (LeaderElected("t", "b", "left", "a"), [Deposed("t", FIRST)]),
        (LeaderElected("t", None, "left", "a"), [Deposed("t", FIRST)]),
        (LeaderElected("t", "a", "left", "b"), []),
        (LeaderElected("t", "a", "first-candidate", "a"), []),
        (MemberWithdrew("t", "a"), [Deposed("t", FIRST)]),
        (RequestRefused("resign", "a", "old-epoch", "no", "t"),
         [Answered(3, "old-epoch", "no", "t")]),
        (RequestRefused("resign", "b", "old-epoch", "no", "t"), []),
        (InputRejected("folkmoot.election.inbox", 9, "invalid-team", "no"),
         [Answered(3, "invalid-team", "no", offset=9)]),
    ],
)  # fmt: skip
def test_of_each_event_it_hears_what_concerns_it(event: object, words: Sequence[Word]) -> None:
    assert read(entry(7, event)) == words


def test_a_deposed_leaders_late_entry_is_dropped_once_its_successor_has_spoken() -> None:
    assert read(
        entry(7, SessionRenewed("a", 1)),
        Beat(8, 1_000, NOTHING_MORE),
        entry(7, SessionRenewed("a", 2)),
        entry(8, SessionRenewed("a", 3)),
    ) == [Confirmed(3, 1), Confirmed(3, 3)]


def test_a_claim_proves_nothing_since_it_may_have_lost() -> None:
    assert read(
        entry(7, SessionRenewed("a", 1)),
        Claim("z", 1_000, 6, 6, 0),
        entry(7, SessionRenewed("a", 2)),
        Resign(7, 1_000, None),
    ) == [Confirmed(3, 1), Confirmed(3, 2)]
