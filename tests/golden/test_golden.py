"""Logs that were written once can be read for ever, and mean what they meant.

A history is never changed or removed: it stands for the logs that users have. What fails here
would have given a replica of the new version another state than the old ones beside it.

- An event got a new meaning or another shape: give it a new class with a higher `VERSION`, and
  keep the old one and how it is applied.
- A state got another field, so that its schema is another: check that the old histories still mean
  the same, then run `python -m tests.golden.record`, which adds hashes and changes none.
- There are new events: record new histories, `python -m tests.golden.record NAME`.
"""

from __future__ import annotations

from collections import Counter

import pytest

from folkmoot.contracts.codec import decode_record
from folkmoot.core.kernel import Entry
from folkmoot.core.names import wire_name
from folkmoot.testing.histories import PLAYERS, History
from tests.golden.golden import PLACE, Golden, load

HISTORIES = sorted(PLACE.glob("*.jsonl.gz"))
NOTED = load()


@pytest.mark.parametrize("path", HISTORIES, ids=lambda path: path.name)
def test_a_history_is_what_it_was(path: object) -> None:
    golden = Golden(path)  # type: ignore[arg-type]
    assert golden.digest() == NOTED[golden.path.name]["sha256"], "a history is never changed"


@pytest.mark.parametrize("path", HISTORIES, ids=lambda path: path.name)
def test_a_history_means_what_it_meant(path: object) -> None:
    golden = Golden(path)  # type: ignore[arg-type]
    schema, found = golden.outcome()
    states = NOTED[golden.path.name]["states"]
    assert schema in states, f"{schema} is new: see how to accept it at the top of this file"
    assert found == states[schema], "the same log gives another state than it did"


def test_no_history_is_lost() -> None:
    assert set(NOTED) == {path.name for path in HISTORIES}


@pytest.mark.parametrize("name", PLAYERS)
def test_every_event_of_a_machine_is_in_a_history(name: str) -> None:
    events = PLAYERS[name]().machine().events
    seen: Counter[str] = Counter()
    for path in PLACE.glob(f"{name}-*.jsonl.gz"):
        for written in Golden(path).read():
            record = decode_record(written.value, written.headers, events)
            if isinstance(record, Entry):
                seen.update(wire_name(type(event)) for event in record.events)
    assert set(events) - set(seen) == set(), "record new histories"


@pytest.mark.parametrize("name", PLAYERS)
def test_histories_come_from_their_seed_alone(name: str) -> None:
    one, other = (History(PLAYERS[name](), seed=7).play(50).records for _ in range(2))
    assert one == other
