"""An election as it runs, on a log in memory and in virtual time, and programs that stand in it."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from typing import Any

from folkmoot.bus.inprocess import Hub, InProcessGossip
from folkmoot.bus.ports import Bus, Record
from folkmoot.contracts.codec import decode_record
from folkmoot.contracts.envelope import decode_message, encode_message
from folkmoot.contracts.keys import partition_of
from folkmoot.core.election import ElectionMachine
from folkmoot.core.kernel import Entry, InputRejected
from folkmoot.core.messages import LEADERS, Leader, inbox, log
from folkmoot.core.names import by_wire_name
from folkmoot.election.bootstrap import service
from folkmoot.election.settings import ElectionServiceSettings
from folkmoot.runtime.service import Service
from folkmoot.sdk.client import Client
from folkmoot.sdk.election.candidate import Candidate
from folkmoot.testing.faulty_log import FaultyLog, Storage
from folkmoot.testing.virtual_time import LoopClock

TTL_MS = 900
PARTITIONS = 2


def now_of(loop: asyncio.AbstractEventLoop) -> Any:
    """Return a clock for leases that a thread can read as well."""
    return lambda: round(loop.time() * 1000)


@dataclass
class Program:
    """A client with its own view of the log."""

    client: Client
    log: FaultyLog

    @property
    def member(self) -> str:
        return self.candidate.member

    @property
    def candidate(self) -> Candidate:
        assert self.client._candidate is not None
        return self.client._candidate

    def crash(self) -> None:
        """End without a word: what it still does is not heard."""
        self.log.down = True
        for job in self.candidate._jobs:
            job.cancel()


@dataclass
class Town:
    """The election service, one process of it or more, and programs."""

    storage: Storage = field(default_factory=lambda: Storage({}))
    hub: Hub = field(default_factory=Hub)
    services: list[tuple[Service, asyncio.Task[None], FaultyLog]] = field(default_factory=list)
    programs: list[Program] = field(default_factory=list)

    def bus(self) -> tuple[Bus, FaultyLog]:
        view = FaultyLog(self.storage)
        return Bus(view, InProcessGossip(self.hub), "town"), view

    async def start_service(self, node: str = "s1") -> Service:
        bus, view = self.bus()
        settings = ElectionServiceSettings(partitions=PARTITIONS, ttl_ms=300, node=node)
        made = await service(bus, settings, LoopClock())
        self.services.append((made, asyncio.create_task(made.run()), view))
        return made

    def program(self, node: str, ttl_ms: int = TTL_MS) -> Program:
        bus, view = self.bus()
        client = Client(bus, LoopClock(), node=node, session_ttl_ms=ttl_ms)
        client._candidate = Candidate(
            bus, LoopClock(), node=node, session_ttl_ms=ttl_ms,
            now=now_of(asyncio.get_running_loop()),
        )  # fmt: skip
        self.programs.append(Program(client, view))
        return self.programs[-1]

    async def end(self) -> None:
        for program in self.programs:
            await program.client._stop()
        for _, task, _ in self.services:
            task.cancel()
        await asyncio.gather(*(task for _, task, _ in self.services), return_exceptions=True)

    # -- what others say and see --------------------------------------------------------------

    def send(self, message: object, team: str) -> None:
        """Send the election what concerns `team`, as any program may."""
        value, headers = encode_message(message, event_id="x", source="operator", at=0)
        record = Record(value, team.encode(), headers)
        self.storage.land(inbox("election"), partition_of(team, PARTITIONS), [record])

    def events(self, *kinds: type) -> list[tuple[int, Any]]:
        """Return the recorded events of these kinds with their log time, shard by shard."""
        found = []
        for partition in range(PARTITIONS):
            for stored in self.storage.partitions[log("election"), partition]:
                record = decode_record(stored.value, stored.headers, ElectionMachine.events)
                if isinstance(record, Entry):
                    found += [(record.at, e) for e in record.events if isinstance(e, kinds)]
        return found

    def rejections(self) -> list[str]:
        return [event.reason for _, event in self.events(InputRejected)]

    def told(self, team: str) -> list[Leader]:
        """Return the records of a team on the leaders' topic, in the order of the topic."""
        types = by_wire_name(Leader)
        stored = self.storage.partitions[LEADERS, 0]
        messages = [decode_message(r.value, r.headers, types).message for r in stored]
        return [m for m in messages if isinstance(m, Leader) and m.team == team]

    def leader(self, team: str) -> Leader | None:
        told = self.told(team)
        return max(told, key=lambda record: record.revision) if told else None
