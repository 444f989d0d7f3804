"""Appends: what is written, what conflicts, what is answered, and what is refused."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest

from folkmoot.core.event_store import (
    EVENTS,
    REQUESTS_REMEMBERED_MAX,
    AppendAnswer,
    AppendConflicted,
    AppendRepeated,
    EventsAppended,
    EventStoreMachine,
    EventStoreSettings,
    EventStoreState,
    VersionConfirmed,
    describe,
)
from folkmoot.core.kernel import Led, Local, Position, Refused, Tick
from folkmoot.core.messages import Announce, Append, CancelSaga, NewEvent
from folkmoot.core.names import wire_name

PARTITION = 3


def append(
    stream: str = "order-1",
    *data: Any,
    request_id: str = "r1",
    expect: int = -1,
) -> Append:
    return Append(stream, tuple(NewEvent("Noted", d) for d in data), request_id, expect)


class Store:
    """A machine, its state, and the answers that it announced."""

    def __init__(self, settings: EventStoreSettings | None = None, **kwargs: Any) -> None:
        self.machine = EventStoreMachine(settings or EventStoreSettings(), PARTITION, **kwargs)
        self.state = self.machine.initial()
        self.history: list[tuple[object, Position]] = []
        self.announced: list[tuple[str, AppendAnswer]] = []

    def take(self, message: object) -> Sequence[object]:
        position = Position(len(self.history), 1_000 + len(self.history))
        events = self.machine.decide(self.state, message, position.at)
        for event in events:
            self.history.append((event, position))
            for effect in self.machine.apply(self.state, event, position):
                assert isinstance(effect, Local)
                assert isinstance(effect.request, Announce)
                assert isinstance(effect.request.message, AppendAnswer)
                self.announced.append((effect.request.subject, effect.request.message))
        return events

    def answer(self, message: object) -> AppendAnswer:
        self.take(message)
        return self.announced[-1][1]

    def refusal(self, message: object) -> Refused:
        before = len(self.history)
        with pytest.raises(Refused) as caught:
            self.take(message)
        assert len(self.history) == before
        return caught.value

    def replayed(self) -> EventStoreState:
        state = self.machine.initial()
        for event, position in self.history:
            self.machine.apply(state, event, position)
        return state


@pytest.mark.parametrize("expect", [-1, 0])
def test_the_first_append_makes_the_stream(expect: int) -> None:
    store = Store()
    (event,) = store.take(append("order-1", "a", "b", expect=expect))
    assert isinstance(event, EventsAppended)
    assert (event.first_version, len(event.events)) == (1, 2)
    assert store.state.version("order-1") == 2


def test_an_append_continues_at_the_version_after_the_last() -> None:
    store = Store()
    store.take(append("order-1", "a", "b"))
    (event,) = store.take(append("order-1", "c", request_id="r2", expect=2))
    assert isinstance(event, EventsAppended)
    assert event.first_version == 3


@pytest.mark.parametrize("expect", [0, 1, 3])
def test_another_version_than_expected_is_a_conflict_and_writes_nothing(expect: int) -> None:
    store = Store()
    store.take(append("order-1", "a", "b"))
    (event,) = store.take(append("order-1", "c", request_id="r2", expect=expect))
    assert event == AppendConflicted("order-1", "r2", expect, 2)
    assert store.state.version("order-1") == 2


def test_streams_do_not_share_versions() -> None:
    store = Store()
    store.take(append("order-1", "a", "b"))
    assert store.answer(append("order-2", "c", expect=0)).version == 1


def test_an_append_of_no_events_only_checks_the_version() -> None:
    store = Store()
    store.take(append("order-1", "a"))
    assert store.take(append("order-1", request_id="r2", expect=1)) == (
        VersionConfirmed("order-1", "r2", 1),
    )
    assert store.take(append("nowhere", request_id="r3", expect=0)) == (
        VersionConfirmed("nowhere", "r3", 0),
    )
    assert store.take(append("order-1", request_id="r4", expect=7)) == (
        AppendConflicted("order-1", "r4", 7, 1),
    )
    assert describe(store.state) == {"streams": 1, "events": 1, "requests_remembered": 4}


def test_each_verdict_is_announced_to_whoever_asked() -> None:
    store = Store()
    store.take(append("order-1", "a", "b", request_id="r1"))
    store.take(append("order-1", request_id="r2"))
    store.take(append("order-1", "c", request_id="r3", expect=9))
    assert store.announced == [
        (
            "folkmoot.announce.appends.r1",
            AppendAnswer("order-1", "r1", "appended", 2, 2, PARTITION, 0),
        ),
        (
            "folkmoot.announce.appends.r2",
            AppendAnswer("order-1", "r2", "confirmed", 2, 0, PARTITION, 1),
        ),
        (
            "folkmoot.announce.appends.r3",
            AppendAnswer("order-1", "r3", "conflict", 2, 0, PARTITION, 2),
        ),
    ]


@pytest.mark.parametrize(
    "request_",
    [
        append("order-1", "b", request_id="again"),
        append("order-1", "b", request_id="again", expect=1),
        append("order-1", "b", request_id="again", expect=0),
        append("order-1", request_id="again"),
    ],
    ids=["appended", "appended as expected", "conflict", "confirmed"],
)
def test_a_repeated_request_gets_its_first_answer_though_the_stream_moved_on(
    request_: Append,
) -> None:
    store = Store()
    store.take(append("order-1", "a"))
    first = store.answer(request_)
    store.take(append("order-1", "z", request_id="other"))
    version = store.state.version("order-1")

    assert store.take(request_) == (AppendRepeated("order-1", "again"),)
    subject, again = store.announced[-1]
    assert subject == "folkmoot.announce.appends.again"
    assert again.repeated
    assert (again.status, again.version, again.appended, again.offset) == (
        first.status,
        first.version,
        first.appended,
        first.offset,
    )
    assert store.state.version("order-1") == version


def test_a_request_id_is_only_unique_within_its_stream() -> None:
    store = Store()
    store.take(append("order-1", "a", request_id="r1"))
    assert store.answer(append("order-2", "b", request_id="r1")).status == "appended"


def test_the_oldest_request_is_forgotten_first() -> None:
    store = Store()
    for n in range(REQUESTS_REMEMBERED_MAX + 1):
        store.take(append("order-1", n, request_id=f"r{n}"))
    assert len(store.state.answers) == REQUESTS_REMEMBERED_MAX
    assert store.take(append("order-1", 1, request_id="r1")) == (AppendRepeated("order-1", "r1"),)
    (event,) = store.take(append("order-1", 0, request_id="r0", expect=0))
    assert isinstance(event, AppendConflicted)


def test_an_event_without_an_id_gets_one_that_a_repetition_would_give_again() -> None:
    events = (NewEvent("A", 1), NewEvent("B", 2, "mine"), NewEvent("C", 3))
    (event,) = Store().take(Append("order-1", events, "r1"))
    assert isinstance(event, EventsAppended)
    assert [e.event_id for e in event.events] == ["r1/0", "mine", "r1/2"]
    assert [e.data for e in event.events] == [1, 2, 3]


@pytest.mark.parametrize("stream", ["saga-7", "team-red", "agent-x", "breaker-y", "work-7", "$x/0"])
def test_streams_of_other_services_are_read_only(stream: str) -> None:
    refused = Store().refusal(append(stream, "a"))
    assert refused.reason == "reserved-stream"
    assert "another name" in refused.detail


@pytest.mark.parametrize("stream", ["", " a", "a b", "-a", "a\n", "ä", "a" * 201, "a*"])
def test_a_malformed_stream_name_is_refused(stream: str) -> None:
    assert Store().refusal(append(stream, "a")).reason == "invalid-stream"


@pytest.mark.parametrize("stream", ["a", "user/7:cart@eu-1.x+y_z", "0", "a" * 200, "sagas"])
def test_a_well_formed_stream_name_is_taken(stream: str) -> None:
    assert Store().answer(append(stream, "a")).status == "appended"


@pytest.mark.parametrize("request_id", ["", "a.b", "a b", "*", ">", "a" * 129, "r\n"])
def test_a_request_id_that_is_no_token_of_a_subject_is_refused(request_id: str) -> None:
    refused = Store().refusal(append("order-1", "a", request_id=request_id))
    assert refused.reason == "invalid-request-id"


def test_an_impossible_version_is_refused() -> None:
    assert Store().refusal(append("a", 1, expect=-2)).reason == "invalid-expected-version"


SMALL = EventStoreSettings(
    events_per_append_max=2, event_bytes_max=100, append_bytes_max=150, streams_max=1
)


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (["x", "y", "z"], "too-many-events"),
        (["x" * 101], "event-too-large"),
        (["ä" * 40], "event-too-large"),
        (["x" * 45, "y" * 45], "append-too-large"),
        ([float("nan")], "invalid-event"),
        ([float("inf")], "invalid-event"),
        ([object()], "invalid-event"),
    ],
)
def test_an_append_over_a_limit_is_refused_whole(data: list[object], reason: str) -> None:
    assert Store(SMALL).refusal(append("order-1", *data)).reason == reason


@pytest.mark.parametrize("data", [["x" * 50], ["x" * 10, "y" * 10], ["ä" * 20]])
def test_an_append_within_the_limits_is_taken(data: list[object]) -> None:
    assert Store(SMALL).answer(append("order-1", *data)).status == "appended"


@pytest.mark.parametrize(
    "event", [NewEvent("", 1), NewEvent("t" * 201, 1), NewEvent("t", 1, "i" * 201)]
)
def test_an_event_without_a_sensible_type_or_id_is_refused(event: NewEvent) -> None:
    assert Store().refusal(Append("order-1", (event,), "r1")).reason == "invalid-event"


def test_a_full_shard_takes_no_new_stream_but_goes_on_with_those_it_has() -> None:
    store = Store(SMALL)
    store.take(append("order-1", "a"))
    assert store.refusal(append("order-2", "a")).reason == "too-many-streams"
    assert store.answer(append("order-1", "b", request_id="r2")).version == 2
    assert store.answer(append("order-2", request_id="r3")).status == "confirmed"


def test_an_append_in_the_wrong_partition_is_refused() -> None:
    store = Store(partition_of={"here": PARTITION, "elsewhere": 1}.__getitem__)
    assert store.answer(append("here", "a")).status == "appended"
    refused = store.refusal(append("elsewhere", "a"))
    assert refused.reason == "wrong-partition"
    assert "partition 1" in refused.detail


def test_leading_and_the_clock_change_nothing() -> None:
    store = Store()
    assert store.take(Led("m", 1)) == ()
    assert store.take(Tick()) == ()
    assert store.machine.due(store.state) is None


def test_a_foreign_message_is_refused() -> None:
    assert Store().refusal(CancelSaga("s", "me")).reason == "unknown-message"


def test_the_machine_names_all_that_it_decides() -> None:
    store = Store()
    store.take(append("order-1", "a"))
    store.take(append("order-1", "a"))
    store.take(append("order-1", request_id="r2"))
    store.take(append("order-1", request_id="r3", expect=5))
    assert {wire_name(type(event)) for event, _ in store.history} == set(EVENTS)
    assert store.replayed() == store.state
