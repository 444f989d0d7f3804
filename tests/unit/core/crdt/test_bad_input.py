"""What peers and users may get wrong: it is refused in a sentence, counted, and changes nothing."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from folkmoot.core.crdt import (
    Delta,
    GCounter,
    InvalidName,
    KindMismatch,
    LimitExceeded,
    MalformedState,
    ORSet,
    PNCounter,
    Question,
    Replica,
    Summary,
    canonical_bytes,
    causal,
    counters,
    dots,
    encode,
    from_json,
    replica,
)
from tests.unit.core.crdt.test_laws import odd_values, paths, replaced

MARK = "0" * 16


def holder() -> Replica:
    made = Replica("a")
    made.mutate("facts", ORSet, lambda facts: facts.add("x", tag="saga"))
    made.mutate("facts", ORSet, lambda facts: facts.remove("x"))
    made.mutate("facts", ORSet, lambda facts: facts.add("y", tag="saga"))
    made.mutate("pages", GCounter, lambda pages: pages.increment(2))
    made.take_messages()
    return made


def valid_messages() -> list[Any]:
    peer = holder()
    facts = peer.document("facts", ORSet)
    peer.begin_round()
    return [
        encode(Delta("facts", facts)),
        encode(Delta("pages", peer.document("pages", GCounter))),
        encode(Question("a", "facts", "orset", MARK, facts.digest())),
        encode(Question("a", "pages", "gcounter", MARK, {"totals": {}})),
        encode(Question("a", "pages", "gcounter", MARK, {"groups": {}})),
        *map(encode, peer.take_messages()),
    ]


@given(st.data())
def test_no_message_can_make_a_replica_fail(data: st.DataObject) -> None:
    mine = holder()
    message = data.draw(st.sampled_from(valid_messages()))
    for _ in range(data.draw(st.integers(1, 3))):
        path = data.draw(st.sampled_from(paths(message)))
        message = replaced(message, path, data.draw(odd_values))
    problem = mine.hear("peer", message)
    assert mine.problems.total() == (problem is not None)
    for name in list(mine.documents):
        document = mine.documents[name]
        assert canonical_bytes(from_json(document.to_json())) == canonical_bytes(document)
    mine.take_messages()


def heard(message: Any) -> tuple[str, str]:
    mine = holder()
    before = {name: canonical_bytes(each) for name, each in mine.documents.items()}
    problem = mine.hear("peer", message)
    assert problem is not None
    assert mine.problems == {problem.kind: 1}
    assert {name: canonical_bytes(each) for name, each in mine.documents.items()} == before
    return problem.kind, problem.detail


def test_messages_that_are_none_are_malformed() -> None:
    assert heard(None)[0] == "malformed"
    assert heard({"version": 2, "type": "delta"}) == ("malformed", "a message has version 2, not 1")
    assert heard({"version": 1, "type": "gossip"})[0] == "malformed"
    unnamed = {"version": 1, "type": "delta", "document": "a.b", "state": GCounter().to_json()}
    kind, detail = heard(unnamed)
    assert (kind, "'a.b' cannot name a document" in detail) == ("malformed", True)
    twice = {"kind": "orset", "living": [["a", 1, "x", None]], "dropped": {"a": [[1, 1]]}}
    assert "stands there twice" in heard({**unnamed, "document": "facts", "state": twice})[1]


def test_documents_of_another_kind_are_mismatched() -> None:
    assert heard(encode(Delta("facts", GCounter())))[0] == "mismatched"
    assert heard(encode(Question("a", "facts", "gcounter", MARK, None)))[0] == "mismatched"
    assert heard(encode(Summary({"facts": ("gcounter", MARK)})))[0] == "mismatched"
    unknown = {"version": 1, "type": "delta", "document": "text", "state": {"kind": "rope"}}
    assert "'rope' is none of the kinds" in heard(unknown)[1]


def test_one_mismatch_in_a_summary_keeps_no_other_document_from_being_asked_for() -> None:
    mine = holder()
    other = {"facts": ("gcounter", MARK), "more": ("rope", MARK), "pages": ("gcounter", MARK)}
    mine.hear("peer", encode(Summary(other)))
    assert [m.document for m in mine.take_messages() if isinstance(m, Question)] == ["pages"]


def test_a_question_for_what_is_unknown_is_answered_with_nothing() -> None:
    mine = holder()
    assert mine.hear("peer", encode(Question("a", "other", "orset", MARK, None))) is None
    assert not mine.has_news()


def test_what_would_grow_too_large_is_refused_whole(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(causal, "ELEMENTS_MAX", 2)
    many = ORSet("peer")
    for n in range(4):
        many.merge(ORSet.from_json(one_element(n + 1)))
    assert heard(encode(Delta("facts", many)))[0] == "refused"


def one_element(n: int) -> Any:
    return {"kind": "orset", "living": [["peer", n, f"element {n}", None]], "dropped": {}}


def test_users_are_held_to_the_limit_and_peers_to_twice_as_much(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(causal, "ELEMENTS_MAX", 2)
    facts = ORSet("a")
    facts.add("one", "two")
    with pytest.raises(LimitExceeded, match="at most 2"):
        facts.add("three")
    assert facts.value == ["one", "two"]
    facts.add("two")
    facts.merge(ORSet.from_json(one_element(1)))
    facts.remove("one")
    assert len(facts) == 2


def test_what_was_dropped_does_not_count(monkeypatch: pytest.MonkeyPatch) -> None:
    facts = ORSet("a")
    old = facts.add("old")
    facts.remove("old")
    monkeypatch.setattr(causal, "ELEMENTS_MAX", 1)
    facts.merge(ORSet.from_json(one_element(1)))
    facts.merge(ORSet.from_json(one_element(2)))
    assert not facts.merge(old)


def test_counters_have_limits(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(counters, "ACTORS_MAX", 1)
    pages = GCounter("a")
    pages.increment()
    with pytest.raises(LimitExceeded, match="at most 1 actors"):
        pages.increment(actor="b")
    with pytest.raises(LimitExceeded):
        pages.increment(1 << 53)
    pages.merge(GCounter.from_json({"kind": "gcounter", "totals": {"b": 1}}))
    with pytest.raises(LimitExceeded):
        pages.merge(GCounter.from_json({"kind": "gcounter", "totals": {"c": 1}}))
    assert pages.value == 2


@pytest.mark.parametrize("totals", [{"a": 0}, {"a": -1}, {"a": 1 << 53}, {"a": True}, {"": 1}, []])
def test_totals_are_whole_numbers_from_one(totals: Any) -> None:
    for state in (
        {"kind": "gcounter", "totals": totals},
        {"kind": "pncounter", "up": {}, "down": totals},
    ):
        with pytest.raises(MalformedState):
            from_json(state)


def test_dots_have_limits(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(dots, "INTERVALS_MAX", 1)
    facts = ORSet("a")
    facts.add("x")
    gaps: dict[str, Any] = {
        "kind": "orset",
        "living": [],
        "dropped": {"b": [[1, 1]], "c": [[1, 1]]},
    }
    facts.merge(ORSet.from_json(gaps))
    more = {"kind": "orset", "living": [], "dropped": {"a": [[1, 1]]}}
    with pytest.raises(LimitExceeded):
        facts.merge(ORSet.from_json(more))
    assert facts.value == ["x"]
    with pytest.raises(MalformedState):
        ORSet.from_json({**gaps, "dropped": {**gaps["dropped"], "d": [[1, 1]]}})


def test_replicas_have_limits(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(replica, "DOCUMENTS_MAX", 2)
    mine = holder()
    with pytest.raises(LimitExceeded, match="at most 2 documents"):
        mine.document("third", ORSet)
    assert heard(encode(Delta("third", GCounter())))[0] == "refused"


@pytest.mark.parametrize("amount", [-1, 1.5, True, "1", None])
def test_only_whole_amounts_from_zero_are_counted(amount: Any) -> None:
    for counter in (GCounter("a"), PNCounter("a")):
        with pytest.raises(ValueError, match="cannot be added"):
            counter.increment(amount)
        assert counter.value == 0


def test_who_counts_or_adds_must_be_named() -> None:
    with pytest.raises(ValueError, match="nobody counts"):
        GCounter().increment()
    with pytest.raises(ValueError, match="needs the id of its replica"):
        ORSet().add("x")
    assert GCounter().increment(1, "an actor").value == 1
    assert ORSet().remove("x") == ORSet()


@pytest.mark.parametrize("bad", ["", "a" * 513, "\ud800", 7])
def test_ids_are_short_texts(bad: Any) -> None:
    for attempt in (
        lambda: Replica(bad),
        lambda: GCounter("a").raise_to(bad, 1),
        lambda: ORSet("a").add("x", tag=bad),
    ):
        with pytest.raises(MalformedState):
            attempt()


@pytest.mark.parametrize("name", ["", "_digest", "-x", "a.b", "a b", "a/b", "ä", "a" * 101, "a\n"])
def test_names_of_documents_fit_subjects_and_keys(name: str) -> None:
    with pytest.raises(InvalidName, match="cannot name a document"):
        Replica("a").document(name, ORSet)


def test_a_document_keeps_its_kind() -> None:
    with pytest.raises(KindMismatch, match="'facts' is of kind orset, not gcounter"):
        holder().document("facts", GCounter)
