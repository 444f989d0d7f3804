"""Any sequence of appends, against a store that keeps everything and looks everything up."""

from __future__ import annotations

from dataclasses import dataclass, field

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from folkmoot.core.event_store import (
    AppendAnswer,
    EventsAppended,
    EventStoreMachine,
    EventStoreSettings,
    EventStoreState,
)
from folkmoot.core.kernel import Claim, Effect, Entry, Local, Received, Shard
from folkmoot.core.messages import Announce, Append, NewEvent

streams = st.sampled_from(["a", "b", "c/d"])
request_ids = st.sampled_from([f"r{n}" for n in range(12)])
payloads = st.lists(st.integers(0, 99), max_size=3)


@dataclass
class Reference:
    """Streams as lists, verdicts by request: no versions, no limits, no forgetting."""

    streams: dict[str, list[int]] = field(default_factory=dict)
    verdicts: dict[tuple[str, str], tuple[str, int, int]] = field(default_factory=dict)

    def append(self, stream: str, data: list[int], request_id: str, expect: int) -> object:
        key = (stream, request_id)
        if key not in self.verdicts:
            self.verdicts[key] = self._decide(stream, data, expect)
        return self.verdicts[key]

    def _decide(self, stream: str, data: list[int], expect: int) -> tuple[str, int, int]:
        events = self.streams.get(stream, [])
        if expect not in (-1, len(events)):
            return "conflict", len(events), 0
        if not data:
            return "confirmed", len(events), 0
        events = self.streams.setdefault(stream, [])
        events.extend(data)
        return "appended", len(events), len(data)


def new_shard(member: str) -> Shard[EventStoreState]:
    return Shard(EventStoreMachine(EventStoreSettings(), 0), member)


class Appends(RuleBasedStateMachine):
    """A leader decides; its log, read by others, must hold exactly the reference's streams."""

    def __init__(self) -> None:
        super().__init__()
        self.reference = Reference()
        self.leader, self.standby = new_shard("leader"), new_shard("standby")
        claim = Claim("leader", 0, -1, -1)
        self.leader.observe(0, claim)
        self.standby.observe(0, claim)
        self.log: list[Entry] = []
        self.offset = 0

    @rule(stream=streams, data=payloads, request_id=request_ids, expect=st.integers(-1, 8))
    def append(self, stream: str, data: list[int], request_id: str, expect: int) -> None:
        repeated = (stream, request_id) in self.reference.verdicts
        verdict = self.reference.append(stream, data, request_id, expect)
        events = tuple(NewEvent("N", n) for n in data)
        answer = self._decide(Append(stream, events, request_id, expect))
        assert (answer.status, answer.version, answer.appended) == verdict
        assert (answer.stream, answer.request_id) == (stream, request_id)
        assert answer.repeated == repeated

    def _decide(self, message: Append) -> AppendAnswer:
        received = Received(message, "folkmoot.event-store.inbox", self.offset)
        self.offset += 1
        entry = self.leader.decide(received, self.offset)
        assert entry is not None
        self.log.append(entry)
        (effect,) = self.leader.commit(len(self.log), 1)
        self.standby.observe(len(self.log), entry)
        return announced(effect)

    @rule()
    def a_record_comes_again(self) -> None:
        if self.offset:
            again = Received(object(), "folkmoot.event-store.inbox", self.offset - 1)
            assert self.leader.decide(again, self.offset) is None

    @invariant()
    def the_log_holds_dense_versions_of_what_was_appended(self) -> None:
        found: dict[str, list[int]] = {}
        for event in (event for entry in self.log for event in entry.events):
            if isinstance(event, EventsAppended):
                assert event.events
                stream = found.setdefault(event.stream, [])
                assert event.first_version == len(stream) + 1
                stream += [e.data for e in event.events]
        assert found == self.reference.streams

    @invariant()
    def versions_count_events(self) -> None:
        expected = {name: len(events) for name, events in self.reference.streams.items()}
        assert self.leader.state.versions == expected

    @invariant()
    def a_standby_has_the_same_state(self) -> None:
        assert self.standby.state == self.leader.state


def announced(effect: Effect) -> AppendAnswer:
    assert isinstance(effect, Local)
    assert isinstance(effect.request, Announce)
    answer = effect.request.message
    assert isinstance(answer, AppendAnswer)
    return answer


TestAppends = Appends.TestCase
TestAppends.settings = settings(max_examples=80, stateful_step_count=40, deadline=None)
