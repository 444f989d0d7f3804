"""Everything that can go wrong, one class each. A new fault is a new class in `FAULTS`.

A fault strikes and, unless it is a single blow, is lifted after a while. What it may do is what the
ports and the operating system allow; the world lifts all that is left before it settles.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import replace
from random import Random
from typing import ClassVar

from folkmoot.bus.ports import Stored
from folkmoot.testing.simulation.broker import Fate
from folkmoot.testing.simulation.gossip import Weather
from folkmoot.testing.simulation.log import SimulatedLog
from folkmoot.testing.simulation.process import Process
from folkmoot.testing.simulation.world import Seat, World

CLOCK_RATES = (0.8, 1.2)
CLOCK_JUMP_MS = 10_000
NEWEST_RECORDS = 6
"""Of a topic of snapshots: two snapshots, mostly."""


class Fault:
    """One fault, drawn for one world. `seat` is whom it strikes."""

    lasts_s: ClassVar[tuple[float, float]] = (0.05, 1.0)
    weight: ClassVar[float] = 1.0

    def __init__(self, world: World, seat: Seat) -> None:
        self.world, self.seat = world, seat
        self.random: Random = world.random

    @property
    def process(self) -> Process:
        """The incarnation that is there now."""
        assert self.seat.process is not None
        return self.seat.process

    @property
    def log(self) -> SimulatedLog:
        """Its way to the broker."""
        assert self.seat.log is not None
        return self.seat.log

    def strike(self) -> str:
        """Begin; say what happens."""
        raise NotImplementedError

    def lift(self) -> None:
        """End."""


class Crash(Fault):
    """A process ends without a word, and is started again."""

    weight = 3.0

    def strike(self) -> str:
        if self.process.alive:
            self.world.crash(self.seat)
        return f"nobody warns {self.process.name}"

    def lift(self) -> None:
        if not self.process.alive:
            self.world.start(self.seat)


class Stop(Fault):
    """A process is told to end (SIGTERM), and is started again."""

    def strike(self) -> str:
        if self.process.alive:
            self.process.leaving = True
            self.process.call(self.process.stop)
        return f"{self.process.name} is told to stop"

    def lift(self) -> None:
        if self.process.alive and self.process.leaving:
            self.world.crash(self.seat)
        if not self.process.alive:
            self.world.start(self.seat)


class Pause(Fault):
    """A process stops in mid-step, its clocks go on, and later it continues: a zombie."""

    weight = 3.0
    lasts_s = (0.01, 2.0)

    def strike(self) -> str:
        self.paused = self.process
        self.paused.pause()
        return f"{self.paused.name} is paused"

    def lift(self) -> None:
        if self.paused.alive and self.paused.paused:
            self.world.tell(f"{self.paused.name} is resumed")
            self.paused.resume()


class ClockRate(Fault):
    """A process's clocks run too fast or too slow."""

    def strike(self) -> str:
        rate = self.random.uniform(*CLOCK_RATES)
        self.process.run_at(rate)
        return f"the clock of {self.process.name} runs at {rate:.2f}"

    def lift(self) -> None:
        self.process.run_at(1.0)


class ClockJump(Fault):
    """A process's wall clock is set."""

    def strike(self) -> str:
        jump_ms = self.random.randint(-CLOCK_JUMP_MS, CLOCK_JUMP_MS)
        self.process.skew_ms += jump_ms
        return f"the wall clock of {self.process.name} jumps by {jump_ms} ms"


class _Appends(Fault):
    """Some of a process's appends have another fate than to be acknowledged."""

    fate: ClassVar[Fate]
    lasts_s = (0.1, 1.5)

    def strike(self) -> str:
        self.link = self.log.link
        share = self.link.fates[self.fate] = self.random.choice((0.05, 0.3, 1.0))
        return f"{share:.0%} of the appends of {self.process.name} end {self.fate}"

    def lift(self) -> None:
        self.link.fates.pop(self.fate, None)


class AckLost(_Appends):
    """An append lands, and its process never hears of it."""

    fate = "unanswered"
    weight = 1.5


class LandsLate(_Appends):
    """An append is given up by its process, and lands after that: even after the term."""

    fate = "late"
    weight = 1.5


class LandsInPart(_Appends):
    """Of an append only the first records land."""

    fate = "partial"


class AppendLost(_Appends):
    """An append never lands, and nobody says so."""

    fate = "lost"


class CutOff(Fault):
    """A process cannot reach the broker."""

    def strike(self) -> str:
        self.link = self.log.link
        self.link.up = False
        self.world.broker.stir()
        return f"{self.process.name} is cut off from the broker"

    def lift(self) -> None:
        self.link.up = True
        self.world.broker.stir()


class DeliveredLate(Fault):
    """What a process reads comes late."""

    def strike(self) -> str:
        self.link = self.log.link
        self.link.read_delay_s = self.random.uniform(0.01, 0.8)
        return f"{self.process.name} reads {1000 * self.link.read_delay_s:.0f} ms late"

    def lift(self) -> None:
        self.link.read_delay_s = 0.0
        self.world.broker.stir()


class SlowLink(Fault):
    """A process's appends take long."""

    def strike(self) -> str:
        self.link = self.log.link
        self.link.slow = self.random.uniform(10, 200)
        return f"appends of {self.process.name} take {self.link.slow:.0f} times as long"

    def lift(self) -> None:
        self.link.slow = 1.0


class SlowDisk(Fault):
    """The broker takes long for everything."""

    weight = 0.5

    def strike(self) -> str:
        self.world.broker.slow = self.random.uniform(5, 100)
        return f"the broker's disk is {self.world.broker.slow:.0f} times slower"

    def lift(self) -> None:
        self.world.broker.slow = 1.0


class FailOver(Fault):
    """The broker is away for a while, and the next one's clock is behind."""

    weight = 0.7

    def strike(self) -> str:
        broker = self.world.broker
        broker.available = False
        broker.clock_error_ms -= self.random.randint(0, 5_000)
        broker.stir()
        return "the broker fails over"

    def lift(self) -> None:
        self.world.broker.available = True
        self.world.broker.stir()


class GossipStorm(Fault):
    """Gossip is lost, doubled and re-ordered."""

    weight = 0.5

    def strike(self) -> str:
        chance = self.random.random
        self.world.network.weather = Weather(chance() * 0.8, chance() * 0.5, chance())
        return "gossip is lost, doubled and re-ordered"

    def lift(self) -> None:
        self.world.network.weather = Weather()


class GossipCut(Fault):
    """A process's gossip is cut off from the others'."""

    weight = 0.5

    def strike(self) -> str:
        self.name = self.process.name
        self.world.network.islands.add(self.name)
        return f"{self.name} hears no gossip"

    def lift(self) -> None:
        self.world.network.islands.discard(self.name)


class SpoiltSnapshots(Crash):
    """Snapshots are damaged on the broker's disk, and a process starts again on what is left."""

    weight = 1.5

    def strike(self) -> str:
        spoilt = 0
        for (topic, _), partition in self.world.broker.partitions.items():
            if topic.endswith(".snapshots"):
                spoilt += self._spoil(partition.records)
        return f"{spoilt} records of snapshots are spoilt; {super().strike()}"

    def _spoil(self, records: list[Stored]) -> int:
        """Damage some of the newest records; how many."""
        newest = range(max(0, len(records) - NEWEST_RECORDS), len(records))
        chosen = [n for n in newest if records[n].value and self.random.random() < 0.6]
        for number in chosen:
            value = self._damaged(records[number].value or b"")
            records[number] = replace(records[number], value=value)
        return len(chosen)

    def _damaged(self, value: bytes) -> bytes | None:
        place = self.random.randrange(len(value))
        digits = [n for n, byte in enumerate(value) if byte in b"12345678"]
        kind = self.random.choice(("digit", "digit", "cut", "garbage", "lost"))
        if kind == "digit" and digits:  # as good as what was written, to all appearance
            place = self.random.choice(digits)
            return value[:place] + bytes([value[place] + 1]) + value[place + 1 :]
        if kind == "cut":
            return value[:place]
        return None if kind == "lost" else value[:place] + b"\x00" + value[place + 1 :]


FAULTS: tuple[type[Fault], ...] = (
    Crash, Stop, Pause, ClockRate, ClockJump, AckLost, LandsLate, LandsInPart, AppendLost, CutOff,
    DeliveredLate, SlowLink, SlowDisk, FailOver, GossipStorm, GossipCut, SpoiltSnapshots,
)  # fmt: skip


async def strike_all(world: World) -> None:
    """Let as many faults strike as the world's draw says, at drawn times, then return."""
    random, draw = world.random, world.draw
    until_s = world.loop.now + draw.duration_s
    kinds = [each for each in FAULTS if not (draw.clocks_agree and each is ClockJump)]
    seats = [seat for seat in world.seats.values() if seat.may_crash]
    for at_s in sorted(random.uniform(0, draw.duration_s) for _ in range(draw.faults)):
        (cls,) = random.choices(kinds, [fault.weight for fault in kinds])
        world.loop.later(at_s, _strike, world, cls(world, random.choice(seats)))
    await asyncio.sleep(until_s - world.loop.now)


def _strike(world: World, fault: Fault) -> None:
    world.tell(fault.strike())
    world.loop.later(world.random.uniform(*fault.lasts_s), _lift, world, fault.lift)


def _lift(world: World, lift: Callable[[], None]) -> None:
    if not world.healed:
        lift()
