"""Members that share knowledge over gossip that loses, and over a log that outlives them."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from typing import Any

import orjson
import pytest

from folkmoot.bus.ports import Bus, BusUnavailable, UnknownTopic
from folkmoot.contracts import subjects
from folkmoot.contracts.topics import KNOWLEDGE
from folkmoot.core.crdt import (
    DIGEST_SUBJECT,
    Crdt,
    GCounter,
    InvalidName,
    KindMismatch,
    ORSet,
    Summary,
    encode,
)
from folkmoot.sdk.knowledge import Knowledge, read_all, read_document, sharing
from folkmoot.testing.eventually import eventually
from folkmoot.testing.fakes import FakeGossip, FakeHub, Faults
from folkmoot.testing.faulty_log import FaultyLog, Storage


@dataclass
class Member:
    knowledge: Knowledge
    gossip: FakeGossip
    log: FaultyLog
    running: asyncio.Task[None]

    def bound(self, saga: str = "saga", step: str = "step") -> Any:
        return self.knowledge.bound(saga=saga, actor=f"{saga}/{step}")

    def values(self, name: str = "facts") -> list[Any]:
        found = self.knowledge.replica.documents.get(name)
        return [] if found is None else list(found.value)

    async def die(self) -> None:
        self.running.cancel()
        await asyncio.wait([self.running])


class Mesh:
    def __init__(self, stack: AsyncExitStack, partitions: int = 1) -> None:
        self.hub = FakeHub()
        self.storage = Storage({KNOWLEDGE: partitions})
        self._stack = stack

    async def member(self, name: str) -> Member:
        gossip, log = self.hub.connect(), FaultyLog(self.storage)
        knowledge = Knowledge(Bus(log, gossip, "memory"), name)
        await knowledge.load()
        member = Member(knowledge, gossip, log, asyncio.create_task(knowledge.run()))
        self._stack.push_async_callback(member.die)
        await eventually(lambda: any(s.owner is gossip for s in self.hub.subscriptions))
        return member

    async def kept(self) -> dict[str, Crdt]:
        return await read_all(FaultyLog(self.storage))


@pytest.fixture(autouse=True)
def quick_rounds(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sharing, "ROUND_S", 0.03)


@pytest.fixture
async def mesh() -> AsyncIterator[Mesh]:
    async with AsyncExitStack() as stack:
        yield Mesh(stack)


@asynccontextmanager
async def isolated(*members: Member) -> AsyncIterator[None]:
    for member in members:
        member.gossip.offline = True
    yield
    for member in members:
        member.gossip.offline = False


async def test_a_change_reaches_others_by_gossip_alone(
    mesh: Mesh, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sharing, "ROUND_S", 60)
    monkeypatch.setattr(sharing, "COALESCE_S", 0.05)
    a, b = await mesh.member("a"), await mesh.member("b")
    for n in range(50):
        await a.bound().set("facts").add(n)
        await asyncio.sleep(0)
    await eventually(lambda: len(b.values()) == 50)
    deltas = [m for m in mesh.hub.sent if m.subject == "folkmoot.gossip.a.facts"]
    assert len(deltas) == 1, "changes of one moment are told together"


async def test_what_is_heard_is_asked_about_at_once(
    mesh: Mesh, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sharing, "ROUND_S", 100_000)
    await mesh.member("a")
    summary = encode(Summary({"facts": (ORSet.KIND, "1" * 16)}))
    await mesh.hub.connect().publish(subjects.gossip("x", DIGEST_SUBJECT), orjson.dumps(summary))
    await eventually(lambda: b'"question"' in mesh.hub.sent[-1].data)


@pytest.mark.parametrize("seed", range(5))
async def test_members_agree_whatever_gossip_loses(mesh: Mesh, seed: int) -> None:
    mesh.hub.faults = Faults(seed, loss=0.5, doubling=0.2, delay=0.3)
    members = [await mesh.member(name) for name in "abc"]
    for n in range(30):
        member = members[n % 3]
        await member.bound(f"saga-{n % 4}").set("facts").add(n, {"n": n})
        await member.bound(f"saga-{n % 4}", f"{n}").counter("pages").increment(n)
        if n % 5 == 0:
            await members[(n + 1) % 3].bound().set("facts").remove(n)
        await asyncio.sleep(0)

    def agreed() -> bool:
        marks = [
            {name: each.fingerprint() for name, each in m.knowledge.replica.documents.items()}
            for m in members
        ]
        return all(len(each) == 2 and each == marks[0] for each in marks)

    await eventually(agreed)
    assert len(members[0].values()) >= 60 - 6
    assert members[2].bound().counter("pages").value == sum(range(30))
    assert not any(member.knowledge.replica.problems for member in members)


async def test_who_was_offline_is_told_and_tells(mesh: Mesh) -> None:
    a, b = await mesh.member("a"), await mesh.member("b")
    b.log.down = True
    async with isolated(b):
        await a.bound().set("facts").add("of a")
        await b.bound().set("facts").add("of b")
        await a.knowledge.flush()
        assert (a.values(), b.values()) == (["of a"], ["of b"])
    b.log.down = False
    await eventually(lambda: a.values() == b.values() == ["of a", "of b"])


async def test_what_was_flushed_arrives_though_its_author_died_before_it_gossiped(
    mesh: Mesh,
) -> None:
    a, b = await mesh.member("a"), await mesh.member("b")
    async with isolated(a):
        await a.bound().set("facts").add("last words")
        await a.knowledge.flush()
        await a.die()
    await eventually(lambda: b.values() == ["last words"])


async def test_who_catches_up_knows_all_that_was_flushed_before(mesh: Mesh) -> None:
    a, b = await mesh.member("a"), await mesh.member("b")
    async with isolated(a, b):
        for n in range(20):
            await a.bound().set("facts").add(n)
            await a.knowledge.flush()
            await b.bound().catch_up()
            assert n in b.bound().set("facts")


async def test_a_saga_takes_back_what_its_steps_added_elsewhere_and_nothing_else(
    mesh: Mesh,
) -> None:
    a, b = await mesh.member("a"), await mesh.member("b")
    async with isolated(a, b):
        await a.bound("saga-1").set("facts").add("alone", "shared")
        await a.bound("saga-2").set("facts").add("shared", "other")
        await a.knowledge.flush()
        facts = b.bound("saga-1").set("facts")
        await facts.retract()
        assert facts.values() == ["other", "shared"]
        assert facts.mine() == []
        assert b.bound("saga-2").set("facts").mine() == ["other", "shared"]
        await b.knowledge.flush()
    await eventually(lambda: a.values() == ["other", "shared"])


async def test_a_saga_takes_back_what_gossip_has_not_yet_brought(mesh: Mesh) -> None:
    a = await mesh.member("a")
    b = Knowledge(Bus(FaultyLog(mesh.storage), mesh.hub.connect(), "memory"), "b")
    await a.bound("saga-1").set("facts").add("x")
    await a.knowledge.flush()
    await b.bound(saga="saga-1", actor="saga-1/undo").set("facts").retract()
    await b.flush()
    assert (await mesh.kept())["facts"].value == []


async def test_knowledge_survives_the_loss_of_every_member(mesh: Mesh) -> None:
    a, b = await mesh.member("a-1"), await mesh.member("b-1")
    await a.bound().set("facts").add("of a")
    await b.bound().counter("pages").increment(7)
    await a.knowledge.flush()
    await b.knowledge.flush()
    await a.die()
    await b.die()
    late = await mesh.member("a-2")
    assert late.values() == ["of a"]
    assert late.bound().counter("pages").value == 7
    await late.bound().set("facts").remove("of a")
    await late.knowledge.flush()
    assert (await mesh.kept())["facts"].value == []


async def test_a_step_that_runs_again_counts_once(mesh: Mesh) -> None:
    a, b = await mesh.member("a"), await mesh.member("b")
    first = a.bound()
    for _ in range(3):
        await first.counter("pages").increment(2)
    await eventually(lambda: b.bound().counter("pages").value == 6)
    again = b.bound()
    for expected in (6, 6, 6, 8):
        told = b.knowledge.replica.has_news()
        await again.counter("pages").increment(2)
        assert again.counter("pages").value == expected
        assert b.knowledge.replica.has_news() == (told or expected > 6)
    await b.bound(step="another").counter("pages").increment(1)
    await eventually(lambda: a.bound().counter("pages").value == 9)


async def test_a_step_that_runs_again_adds_nothing_twice(mesh: Mesh) -> None:
    a = await mesh.member("a")
    for _ in range(3):
        await a.bound().set("facts").add("x", ["y", 1])
    document = a.knowledge.replica.document("facts", ORSet)
    assert len(document.living) == len(document) == 2


async def test_sets_read_as_python_s_own(mesh: Mesh) -> None:
    facts = (await mesh.member("a")).bound().set("facts")
    await facts.add("x", {"k": 1}, ("tuple", 2))
    assert len(facts) == 3
    assert list(facts) == facts.values() == ["x", ["tuple", 2], {"k": 1}]
    assert {"k": 1.0} in facts
    assert "y" not in facts
    await facts.add()
    await facts.remove("x", "never there")
    assert len(facts) == 2


async def test_what_nobody_flushes_is_kept_in_time(mesh: Mesh) -> None:
    a = await mesh.member("a")
    await a.bound().set("facts").add("of a step that failed")
    await eventually(lambda: mesh.storage.partitions[KNOWLEDGE, 0])
    assert (await mesh.kept())["facts"].value == ["of a step that failed"]


async def test_documents_are_spread_over_partitions_and_all_are_read() -> None:
    async with AsyncExitStack() as stack:
        mesh = Mesh(stack, partitions=3)
        a = await mesh.member("a")
        for n in range(12):
            await a.bound().counter(f"counter-{n}").increment(n)
        await a.knowledge.flush()
        assert all(mesh.storage.partitions.values())
        assert {name: each.value for name, each in (await mesh.kept()).items()} == {
            f"counter-{n}": n for n in range(1, 12)
        }


async def test_one_document_can_be_read_alone(mesh: Mesh) -> None:
    a = await mesh.member("a")
    await a.bound().counter("pages").increment(3)
    await a.knowledge.flush()
    found = await read_document(a.log, "pages")
    assert isinstance(found, GCounter)
    assert found.value == 3
    assert await read_document(a.log, "other") is None
    assert await read_all(FaultyLog(Storage({}))) == {}


# -- what goes wrong ----------------------------------------------------------------------------


async def test_gossip_that_is_none_is_counted_and_ends_nothing(mesh: Mesh) -> None:
    a = await mesh.member("a")
    stranger = mesh.hub.connect()
    for data in (b"", b"\xff", b"[]", b"{}", orjson.dumps({"version": 9, "type": "delta"})):
        await stranger.publish(subjects.gossip("x", "facts"), data)
    await eventually(lambda: a.knowledge.problems.get("malformed") == 5)
    b = await mesh.member("b")
    await b.bound().set("facts").add("x")
    await eventually(lambda: a.values() == ["x"])


async def test_a_log_that_is_away_is_read_again_when_it_is_back(
    mesh: Mesh, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("folkmoot.sdk.knowledge.reading.RETRY_S", 0.01)
    a, b = await mesh.member("a"), await mesh.member("b")
    async with isolated(a, b):
        b.log.down = True
        with pytest.raises(BusUnavailable):
            await b.knowledge.catch_up()
        await a.bound().set("facts").add("meanwhile")
        await a.knowledge.flush()
        b.log.down = False
        await eventually(lambda: b.values() == ["meanwhile"])


async def test_a_mesh_without_the_topic_says_so() -> None:
    knowledge = Knowledge(Bus(FaultyLog(Storage({})), FakeHub().connect(), "memory"), "a")
    await knowledge.load()
    await knowledge.bound(saga="s", actor="s/x").set("facts").add("x")
    with pytest.raises(UnknownTopic, match=r"folkmoot\.knowledge"):
        await knowledge.flush()


async def test_names_and_kinds_are_checked_when_a_document_is_asked_for(mesh: Mesh) -> None:
    bound = (await mesh.member("a")).bound()
    with pytest.raises(InvalidName):
        bound.set("a.b")
    bound.counter("pages")
    with pytest.raises(KindMismatch):
        bound.set("pages")
    for amount in (-1, 1.5, True):
        with pytest.raises(ValueError, match="cannot be added"):
            await bound.counter("pages").increment(amount)


@pytest.mark.parametrize("member", ["plain-1", "a.b", "a_b", "a b*>", "ä=", "=2E"])
def test_members_have_subjects_of_their_own(member: str) -> None:
    subject = subjects.gossip(member, "facts")
    assert subjects.gossip_sender(subject) == member
    assert subject.count(".") == 3


async def test_members_whose_names_look_alike_hear_each_other(mesh: Mesh) -> None:
    a, b = await mesh.member("host.1"), await mesh.member("host_1")
    await a.bound().set("facts").add("x")
    await eventually(lambda: b.values() == ["x"])
