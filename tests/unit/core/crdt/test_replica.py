"""Replicas that gossip: what each message leads to, and that any schedule of them converges."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import orjson
from hypothesis import given, settings
from hypothesis import strategies as st

from folkmoot.core.crdt import (
    ENVELOPE_BYTES,
    KINDS,
    Delta,
    GCounter,
    ORSet,
    Question,
    Replica,
    Summary,
    canonical_bytes,
    encode,
    from_json,
)
from tests.unit.core.crdt.histories import CHANGES, Change, elements, join_of

NAMES = {"facts": "orset", "pages": "gcounter", "budget": "pncounter"}
SMALL_BYTES = ENVELOPE_BYTES + 120
"""So small that nearly every answer takes several messages."""


@dataclass
class Net:
    """Replicas, and the messages that are under way between them."""

    replicas: dict[str, Replica]
    under_way: list[tuple[str, str, Any]] = field(default_factory=list)

    @classmethod
    def of(cls, *names: str, **options: Any) -> Net:
        return cls({name: Replica(name, **options) for name in names})

    def flush(self, sender: str) -> list[Any]:
        """Send what `sender` has to tell to all others, as it would travel."""
        messages = self.replicas[sender].take_messages()
        for message in messages:
            data = orjson.dumps(encode(message))
            self.under_way += [(sender, to, data) for to in self.replicas if to != sender]
        return messages

    def deliver(self, place: int) -> None:
        sender, to, data = self.under_way[place]
        assert self.replicas[to].hear(sender, orjson.loads(data)) is None

    def settle(self) -> list[str]:
        """Deliver all that is under way, and what it leads to; the types of the messages."""
        delivered = []
        while self.under_way or any(replica.has_news() for replica in self.replicas.values()):
            for name in self.replicas:
                self.flush(name)
            for place in range(len(self.under_way)):
                self.deliver(place)
            delivered += [orjson.loads(data)["type"] for _, _, data in self.under_way]
            self.under_way = []
        return delivered

    def round(self) -> list[str]:
        for replica in self.replicas.values():
            replica.begin_round()
        return self.settle()

    def equal(self) -> bool:
        """Whether all know the same; a document that nobody has added to is not known of."""
        whole = [
            {name: canonical_bytes(c) for name, c in replica.documents.items() if c != type(c)()}
            for replica in self.replicas.values()
        ]
        return all(each == whole[0] for each in whole)


class Schedule:
    """Draws what happens next: a change, or what becomes of a message."""

    def __init__(self, data: st.DataObject, net: Net) -> None:
        self.data, self.net = data, net
        self.deltas: dict[str, list[Any]] = {name: [] for name in NAMES}

    def step(self) -> None:
        draw = self.data.draw
        replica = draw(st.sampled_from(sorted(self.net.replicas)))
        match draw(st.sampled_from(["change", "flush", "round", "deliver", "double", "lose"])):
            case "change":
                name = draw(st.sampled_from(sorted(NAMES)))
                self.change(replica, name, draw(CHANGES[NAMES[name]]))
            case "flush":
                self.net.flush(replica)
            case "round":
                self.net.replicas[replica].begin_round()
            case fate if self.net.under_way:
                place = draw(st.integers(0, len(self.net.under_way) - 1))
                if fate != "lose":
                    self.net.deliver(place)
                if fate != "double":
                    del self.net.under_way[place]

    def change(self, replica: str, name: str, change: Change) -> None:
        cls = KINDS[NAMES[name]]
        self.deltas[name].append(self.net.replicas[replica].mutate(name, cls, change))


@settings(max_examples=150, deadline=None)
@given(data=st.data(), small=st.booleans())
def test_any_schedule_converges_to_all_that_was_ever_changed(
    data: st.DataObject, small: bool
) -> None:
    net = Net.of("a", "b", "c", **({"message_bytes_max": SMALL_BYTES} if small else {}))
    schedule = Schedule(data, net)
    for _ in range(data.draw(st.integers(0, 25))):
        schedule.step()
    net.under_way = []
    for replica in net.replicas.values():
        replica.take_messages()  # what was not told before the faults stopped is lost as well
    net.round()
    net.round()
    assert net.equal()
    for name, deltas in schedule.deltas.items():
        empty = KINDS[NAMES[name]]()
        found = net.replicas["a"].documents.get(name, empty)
        assert found == join_of([empty, *deltas])
        if isinstance(found, ORSet):
            assert found.seen.interval_count() <= len(net.replicas)
    assert set(net.round()) <= {"summary"}


@given(st.lists(st.text("xyz", min_size=1, max_size=60), max_size=30), st.data())
def test_messages_fit_and_a_part_deletes_nothing_that_others_bring(
    values: list[str], data: st.DataObject
) -> None:
    net = Net.of("a", "b", message_bytes_max=SMALL_BYTES)
    a, b = net.replicas["a"], net.replicas["b"]
    a.mutate("facts", ORSet, lambda facts: facts.add(*values))
    if values:
        a.mutate("facts", ORSet, lambda facts: facts.remove(values[0]))
    b.mutate("facts", ORSet, lambda facts: facts.add("from b"))
    messages = [m for m in a.take_messages() if isinstance(m, Delta)]
    for message in data.draw(st.permutations(messages)):
        assert len(orjson.dumps(encode(message))) <= SMALL_BYTES
        carried = {each for each in message.state.value}
        before = set(b.document("facts", ORSet).value)
        assert b.hear("a", orjson.loads(orjson.dumps(encode(message)))) is None
        assert set(b.document("facts", ORSet).value) == before | carried
    assert set(b.document("facts", ORSet)) == {*values[1:], "from b"} - {*values[:1]}


def told(replica: Replica, kind: type) -> list[Any]:
    return [message for message in replica.take_messages() if isinstance(message, kind)]


def test_a_change_is_told_at_once_and_only_once() -> None:
    a = Replica("a")
    a.mutate("facts", ORSet, lambda facts: facts.add("x"))
    a.mutate("facts", ORSet, lambda facts: facts.add("y"))
    assert a.has_news()
    (message,) = a.take_messages()
    assert isinstance(message, Delta)
    assert message.state.value == ["x", "y"]
    assert not a.has_news()


def test_a_delta_stays_what_it_was() -> None:
    a = Replica("a")
    first = a.mutate("facts", ORSet, lambda facts: facts.add("x"))
    a.mutate("facts", ORSet, lambda facts: facts.add("y"))
    assert first.value == ["x"]


def test_who_lacks_a_document_is_told_of_it_and_who_is_equal_asks_nothing() -> None:
    net = Net.of("a", "b")
    net.replicas["a"].mutate("pages", GCounter, lambda pages: pages.increment(3))
    net.flush("a")
    net.under_way = []
    assert net.round() == ["summary", "question", "delta"]
    assert net.replicas["b"].document("pages", GCounter).value == 3


def test_of_several_that_know_the_same_one_is_asked_in_a_round() -> None:
    net = Net.of("a", "b", "c", "d")
    for name in ("a", "b", "c"):
        net.replicas[name].learn("pages", from_json({"kind": "gcounter", "totals": {"z": 4}}))
    for name in ("a", "b", "c"):
        net.replicas[name].begin_round()
        (summary,) = told(net.replicas[name], Summary)
        net.replicas["d"].hear(name, encode(summary))
    (question,) = told(net.replicas["d"], Question)
    assert question.to == "a"
    net.replicas["d"].begin_round()
    net.replicas["d"].hear("b", encode(summary))
    (question,) = told(net.replicas["d"], Question)
    assert question.to == "b"


def test_of_peers_that_know_different_things_each_is_asked() -> None:
    mine = Replica("a")
    for n, peer in enumerate(("b", "c"), 1):
        mine.hear(peer, encode(Summary({"pages": ("gcounter", f"{n:016x}")})))
    assert [question.to for question in told(mine, Question)] == ["b", "c"]


def test_only_who_is_asked_answers_and_the_answer_is_what_is_lacking() -> None:
    a = Replica("a")
    a.mutate("facts", ORSet, lambda facts: facts.add("old"))
    asker = Replica("b")
    (delta,) = told(a, Delta)
    asker.hear("a", encode(delta))
    a.mutate("facts", ORSet, lambda facts: facts.add("new"))
    a.take_messages()
    mine = asker.document("facts", ORSet)
    for to, expected in (("c", []), ("a", [["new"]])):
        question = Question(to, "facts", "orset", mine.fingerprint(), mine.digest())
        assert a.hear("b", encode(question)) is None
        assert [message.state.value for message in told(a, Delta)] == expected


def test_who_has_dropped_an_element_is_not_told_of_it_again() -> None:
    net = Net.of("a", "b")
    net.replicas["a"].mutate("facts", ORSet, lambda facts: facts.add("x", "y"))
    net.settle()
    net.replicas["b"].mutate("facts", ORSet, lambda facts: facts.remove("x"))
    a, b = (replica.document("facts", ORSet) for replica in net.replicas.values())
    assert a.delta_since(b.digest()) is None
    told = b.delta_since(a.digest())
    assert told is not None
    assert (told.value, list(told.dropped)) == ([], [("a", 1)])


def test_a_digest_too_large_for_a_message_asks_for_everything() -> None:
    net = Net.of("a", "b", message_bytes_max=ENVELOPE_BYTES + 400)
    a, b = net.replicas["a"], net.replicas["b"]
    a.mutate("facts", ORSet, lambda facts: facts.add(*range(100)))
    a.mutate("facts", ORSet, lambda facts: facts.remove(*range(0, 100, 2)))
    net.settle()
    a.mutate("facts", ORSet, lambda facts: facts.add("new"))
    a.take_messages()
    a.begin_round()
    net.flush("a")
    net.deliver(0)
    (question,) = net.flush("b")
    assert question.digest is None
    net.settle()
    assert net.equal()
    assert "new" in b.document("facts", ORSet)


def test_a_dot_used_twice_is_reported_and_mended() -> None:
    net = Net.of("a", "b")
    net.replicas["a"].learn("facts", orset([["z", 1, "one", None]]))
    net.replicas["b"].learn("facts", orset([["z", 1, "other", None]]))
    for replica in net.replicas.values():
        replica.begin_round()
        net.flush(replica.replica)
    problems = []
    while net.under_way:
        sender, to, data = net.under_way.pop(0)
        problems.append(net.replicas[to].hear(sender, orjson.loads(data)))
        net.flush(to)
    found = {problem.kind for problem in problems if problem}
    assert found == {"diverged"}
    assert "used twice" in next(problem.detail for problem in problems if problem)
    assert sum(replica.problems["diverged"] for replica in net.replicas.values()) >= 1
    assert net.equal()


def orset(living: list[Any]) -> Any:
    return from_json({"kind": "orset", "living": living, "dropped": {}})


def test_a_removal_that_is_not_yet_known_is_no_divergence() -> None:
    net = Net.of("a", "b")
    net.replicas["a"].mutate("facts", ORSet, lambda facts: facts.add("x"))
    net.settle()
    net.replicas["a"].mutate("facts", ORSet, lambda facts: facts.remove("x"))
    net.replicas["a"].take_messages()
    net.round()
    assert net.replicas["b"].document("facts", ORSet).value == []
    assert not net.replicas["a"].problems
    assert not net.replicas["b"].problems


@settings(deadline=None)
@given(actors=st.integers(257, 2_000), changed=st.integers(1, 3))
def test_counters_of_many_actors_exchange_what_differs_and_not_all(
    actors: int, changed: int
) -> None:
    net = Net.of("a", "b")
    for replica in net.replicas.values():
        totals = {f"saga-{n}/step": 1 for n in range(actors)}
        replica.learn("pages", from_json({"kind": "gcounter", "totals": totals}))
    for n in range(changed):
        name = f"saga-{n}/step"
        net.replicas["a"].mutate("pages", GCounter, lambda pages, n=name: pages.increment(1, n))  # type: ignore[misc]
    net.replicas["a"].take_messages()
    net.replicas["a"].begin_round()
    net.flush("a")
    net.deliver(0)
    (question,) = told(net.replicas["b"], Question)
    assert set(question.digest) == {"groups"}
    net.replicas["a"].hear("b", encode(question))
    (answer,) = told(net.replicas["a"], Delta)
    assert len(answer.state.to_json()["totals"]) <= changed * (actors // 256 + 12)
    net.replicas["b"].hear("a", encode(answer))
    assert net.equal()


@given(st.lists(elements, max_size=5))
def test_merging_is_not_telling(values: list[Any]) -> None:
    a, b = Replica("a"), Replica("b")
    a.mutate("facts", ORSet, lambda facts: facts.add(*values))
    for message in told(a, Delta):
        b.hear("a", encode(message))
    assert not b.has_news()
