"""A world for replicas: a small machine, members that run it, and what the log says of them."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import pytest

from folkmoot.bus.ports import Bus, Record, Stored
from folkmoot.contracts.codec import decode_record, encode_record
from folkmoot.contracts.envelope import Headers, decode_message, encode_message, origin_headers
from folkmoot.core.kernel import (
    DEAD_LETTERS,
    NOTHING,
    Claim,
    DeadLetter,
    Effect,
    Entry,
    Leadership,
    Led,
    Local,
    LogRecord,
    Mark,
    Position,
    Refused,
    Send,
    Shard,
    Tick,
    Verdict,
)
from folkmoot.core.names import by_wire_name
from folkmoot.runtime.candidacy import Candidacy, OpenCandidacy
from folkmoot.runtime.replica import Replica
from folkmoot.runtime.seat import Role, ShardName
from folkmoot.runtime.timing import Timing
from folkmoot.testing.eventually import eventually
from folkmoot.testing.faulty_log import FaultyLog, Storage
from folkmoot.testing.virtual_time import LoopClock, VirtualLoop


def pytest_asyncio_loop_factories(item: pytest.Item) -> Mapping[str, type]:
    """Let time be virtual, except where threads take part."""
    if item.path.stem in ("test_on_sqlite", "test_sending_spans"):
        return {"real": asyncio.SelectorEventLoop}
    return {"virtual": VirtualLoop}


@pytest.fixture(autouse=True)
def _nothing_is_left_behind(caplog: pytest.LogCaptureFixture) -> Iterator[None]:
    yield
    gone_wrong = [r for r in caplog.records if r.name == "asyncio" and r.levelname == "ERROR"]
    assert [record.getMessage() for record in gone_wrong] == []


# -- a machine ------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Add:
    amount: int
    padding: int = 0
    to: str = "out"
    partition: int | None = None


@dataclass(frozen=True, slots=True)
class SetAlarm:
    after_ms: int


@dataclass(frozen=True, slots=True)
class Added:
    amount: int
    padding: str
    to: str
    partition: int | None


@dataclass(frozen=True, slots=True)
class AlarmSet:
    at: int


@dataclass(frozen=True, slots=True)
class AlarmRang:
    at: int


@dataclass(frozen=True, slots=True)
class Total:
    total: int
    padding: str = ""


@dataclass
class Sum:
    total: int = 0
    amounts: list[int] = field(default_factory=list)
    alarm_at: int | None = None
    rang: list[int] = field(default_factory=list)


POISON = 1_000_000


class Adder:
    """Adds up and tells each total; may be refused, poisoned, and woken."""

    name = "adder"
    inputs: Mapping[str, type] = by_wire_name(Add, SetAlarm)
    events: Mapping[str, type] = by_wire_name(Added, AlarmSet, AlarmRang)
    outputs: Mapping[str, type] = by_wire_name(Total)

    def initial(self) -> Sum:
        return Sum()

    def decide(self, state: Sum, message: object, now: int) -> Sequence[object]:
        match message:
            case Add(amount=amount) if amount < 0:
                raise Refused("negative", f"{amount} is below zero")
            case Add(amount=amount) if amount == POISON:
                raise ValueError("poison")
            case Add(amount=0):
                return []
            case Add(amount, padding, to, partition):
                return [Added(amount, "x" * padding, to, partition)]
            case SetAlarm(after_ms):
                return [AlarmSet(now + after_ms)]
            case Tick():
                return [AlarmRang(now)]
            case Led():
                return []
        raise Refused("unknown-message", repr(message))

    def apply(self, state: Sum, event: object, position: Position) -> Sequence[Effect]:
        match event:
            case Added(amount, padding, to, partition):
                state.total += amount
                state.amounts.append(amount)
                total = Total(state.total, padding)
                return [Send(to, total, "k", partition), Local((amount, position.offset))]
            case AlarmSet(at):
                state.alarm_at = at
            case AlarmRang(at):
                state.alarm_at = None
                state.rang.append(at)
        return []

    def due(self, state: Sum) -> int | None:
        return state.alarm_at


# -- members --------------------------------------------------------------------------------------

NAME = ShardName("adder", "log", ("in",), 0)
TTL_MS = 300


class Member:
    """A replica, its log, its clock, and what it did."""

    def __init__(self, world: World, name: str, **fields: Any) -> None:
        self.name = name
        self.log = FaultyLog(world.storage)
        self.clock = LoopClock(fields.pop("skew_ms", 0))
        self.timing = Timing(**({"ttl_ms": TTL_MS} | fields.pop("timing", {})))
        self.performed: list[tuple[int, int]] = []
        self.roles: list[Role] = []
        open_to_all = OpenCandidacy(name, NAME.origin, self.timing, world.names)
        self.candidacy: Candidacy = fields.pop("candidacy", open_to_all)
        self.replica: Replica[Sum] = Replica(
            fields.pop("machine", Adder()),
            NAME,
            name,
            Bus(self.log, None, name),  # type: ignore[arg-type]
            self.candidacy,
            self.clock,
            self.timing,
            on_local=self.performed.append,  # type: ignore[arg-type]
            on_role=fields.pop("on_role", self.roles.append),
            **fields,
        )
        self.task = asyncio.create_task(self.replica.run(), name=name)

    @property
    def leads(self) -> bool:
        return self.replica.leads and not self.task.done()

    async def crash(self) -> None:
        """End without a word."""
        self.task.cancel()
        await asyncio.wait([self.task])
        assert self.task.cancelled()
        assert self.log.open == 0

    async def stop(self) -> None:
        self.replica.stop()
        await self.task
        assert self.log.open == 0


class World:
    """One shard, its members, and those who send to it and receive from it."""

    def __init__(self) -> None:
        self.storage = Storage({"in": 1, "log": 1, "log.snapshots": 1, "out": 2, DEAD_LETTERS: 1})
        self.members: dict[str, Member] = {}
        self._records: list[LogRecord] = []

    def names(self) -> list[str]:
        return [name for name, member in self.members.items() if not member.task.done()]

    def start(self, *names: str, **fields: Any) -> list[Member]:
        for name in names:
            self.members[name] = Member(self, name, **fields)
        return [self.members[name] for name in names]

    def replica(self, name: str, log: FaultyLog) -> Replica[Sum]:
        """Return a replica that somebody else runs."""
        timing = Timing(ttl_ms=TTL_MS)
        candidacy = OpenCandidacy(name, NAME.origin, timing, lambda: [name])
        bus = Bus(log, None, name)  # type: ignore[arg-type]
        return Replica(Adder(), NAME, name, bus, candidacy, LoopClock(), timing)

    async def end(self) -> None:
        for member in self.members.values():
            if not member.task.done():
                await member.crash()

    # -- what happens in it

    def send(self, *amounts: int, **fields: Any) -> None:
        for amount in amounts:
            self.send_message(Add(amount, **fields))

    def set_alarm(self, after_ms: int) -> None:
        self.send_message(SetAlarm(after_ms))

    def send_from_shard(self, amount: int, mark: Mark) -> None:
        """Send as another shard does, which may send again."""
        self.send_message(Add(amount), origin_headers("other.log/0", mark))

    def send_message(self, message: object, extra: Headers = ()) -> None:
        event_id = str(len(self.storage.partitions["in", 0]))
        value, headers = encode_message(
            message, event_id=event_id, source="user", at=0, extra=extra
        )
        self.storage.land("in", 0, [Record(value, b"k", headers)])

    def leaders(self) -> list[Member]:
        return [member for member in self.members.values() if member.leads]

    async def leader(self, *but: Member, timeout_s: float = 10) -> Member:
        """Return the member that leads, as soon as there is one."""
        waiting = [member for member in self.members.values() if member not in but]
        await eventually(lambda: any(member.leads for member in waiting), timeout_s)
        return next(member for member in waiting if member.leads)

    async def decided(self, *amounts: int) -> None:
        await eventually(lambda: self.history().state.amounts == [*amounts])

    async def told(self, *totals: int) -> None:
        await eventually(lambda: self.received() == [*totals])

    def claim_in_vain(self, member: str = "stranger") -> None:
        """Claim as somebody does who has not read on for long."""
        self.write(Claim(member, 0, expected_term=NOTHING - 1, expected_last=NOTHING - 1))

    def claim_against(self, rule: Leadership, member: str = "stranger") -> None:
        """Claim as somebody does who has read everything, and will never lead."""
        self.write(Claim(member, 0, rule.term, rule.last))

    def write(self, record: LogRecord) -> int:
        """Write a member's record to the log behind everybody's back; return its offset."""
        value, headers = encode_record(record, NAME.origin, len(self.storage.partitions["log", 0]))
        return self.storage.land("log", 0, [Record(value, None, headers)])

    # -- what the log says of it

    def records(self) -> list[LogRecord]:
        for stored in self.storage.partitions["log", 0][len(self._records) :]:
            self._records.append(decode_record(stored.value, stored.headers, Adder.events))
        return self._records

    def history(self, upto: int | None = None) -> Shard[Sum]:
        """Return the shard as any reader of the log sees it."""
        shard: Shard[Sum] = Shard(Adder(), "reader")
        for offset, record in enumerate(self.records()[:upto]):
            shard.observe(offset, record)
        return shard

    def verdicts(self) -> list[tuple[LogRecord, Verdict]]:
        rule = Leadership()
        return [(record, rule.observe(o, record)) for o, record in enumerate(self.records())]

    def terms(self) -> list[str]:
        """Return who won, one term after another."""
        return [r.member for r, v in self.verdicts() if v is Verdict.WON]  # type: ignore[union-attr]

    def received(self, topic: str = "out") -> list[int]:
        """Return the totals that a receiver acts on: it drops what is not above its watermark."""
        totals: list[int] = []
        for place, stored in self.storage.partitions.items():
            if place[0] == topic:
                totals += self.distinct(stored)
        return totals

    def distinct(self, stored: Sequence[Stored]) -> list[int]:
        highest, totals = (-1, -1), []
        for record in stored:
            decoded = decode_message(record.value, record.headers, by_wire_name(Total))
            assert decoded.origin == "log/0"
            assert decoded.mark is not None
            if decoded.mark > highest:
                highest = decoded.mark
                totals.append(decoded.message.total)  # type: ignore[attr-defined]
        return totals

    def letters(self) -> list[DeadLetter]:
        stored = self.storage.partitions[DEAD_LETTERS, 0]
        types = by_wire_name(DeadLetter)
        found = [decode_message(r.value, r.headers, types).message for r in stored]
        return list(dict.fromkeys(found))  # type: ignore[arg-type]

    def entries(self) -> list[Entry]:
        return [r for r, v in self.verdicts() if isinstance(r, Entry) and v.counts]


@pytest.fixture
async def world() -> AsyncIterator[World]:
    made = World()
    yield made
    await made.end()


@pytest.fixture(scope="session")
def new_world() -> type[World]:
    return World
