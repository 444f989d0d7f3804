"""A shard without its log: decides, applies, and keeps what came of it."""

from __future__ import annotations

import copy
from dataclasses import dataclass, field, replace

from folkmoot.core.election import ElectionMachine, ElectionSettings, RequestRefused
from folkmoot.core.kernel import Effect, Position, Send, Tick
from folkmoot.core.messages import LEADERS, Join, Leader

TTL_MS = 900
START = 1_000_000


@dataclass
class Moot:
    """A shard without its log: decides, applies, and keeps what came of it."""

    settings: ElectionSettings = field(default_factory=ElectionSettings)
    now: int = START
    offset: int = 0

    def __post_init__(self) -> None:
        self.machine = ElectionMachine(self.settings, partition=3)
        self.state = self.machine.initial()
        self.log: list[tuple[object, Position]] = []
        self.effects: list[Effect] = []

    def hear(self, message: object, after_ms: int = 0) -> list[object]:
        """Decide one input as one entry and return its events; `effects` are those of it alone."""
        self.now += after_ms
        events = list(self.machine.decide(self.state, message, self.now))
        self.effects = []
        if events:
            self.offset += 1
        for event in events:
            position = Position(self.offset, self.now)
            self.log.append((event, position))
            self.effects += self.machine.apply(self.state, event, position)
        return events

    def join(self, member: str, team: str = "news", **fields: object) -> list[object]:
        join = Join(team, member, "node", TTL_MS)
        return self.hear(replace(join, **fields))  # type: ignore[arg-type]

    def wait(self, after_ms: int) -> list[object]:
        """Let time pass, hear a witness of another team, and return what a tick then brings."""
        self.now += after_ms
        self.join("witness", "elsewhere")
        return self.hear(Tick())

    def records(self) -> list[Leader]:
        """Return the leader records that the last entry sent."""
        sends = [e for e in self.effects if isinstance(e, Send) and e.topic == LEADERS]
        records = [send.message for send in sends if isinstance(send.message, Leader)]
        assert [send.key for send in sends] == [record.team for record in records]
        return records

    def refusals(self, message: object) -> list[str]:
        """Hear what is answered with a refusal, and check that nothing else came of it."""
        before = copy.deepcopy(self.state)
        events = self.hear(message)
        assert (self.state, self.effects) == (before, [])
        return [event.reason for event in events if isinstance(event, RequestRefused)]

    def leader(self, team: str = "news") -> str | None:
        return self.state.teams[team].leader


def record(leader: str | None, epoch: int, reason: str, *members: str, **fields: object) -> Leader:
    """Return the record of the team "news" as partition 3 publishes it, at the start by default."""
    made = Leader("news", leader, epoch, members, START, reason, 3, revision=epoch)
    return replace(made, **fields)  # type: ignore[arg-type]
