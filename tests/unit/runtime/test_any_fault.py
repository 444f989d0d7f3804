"""Whatever fails in whatever order: when it is over, all was decided once, in order, and told."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import TYPE_CHECKING, get_args

from hypothesis import given, settings
from hypothesis import strategies as st

from folkmoot.core.kernel import Claim, Verdict
from folkmoot.testing.eventually import eventually
from folkmoot.testing.faulty_log import Fault, FaultKind
from folkmoot.testing.virtual_time import VirtualLoop

if TYPE_CHECKING:
    from tests.unit.runtime.conftest import Member, World

POISON = 1_000_000
SETTLING_S = 30.0


class Chaos:
    """Does to a world what a draw of numbers says."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.sent: list[int] = []
        self.started = 0
        self.faults: list[Fault] = []
        self.start()

    def start(self) -> None:
        self.started += 1
        self.world.start(f"m{self.started}", skew_ms=self.started * 977 % 5_000 - 2_500)

    def alive(self) -> list[Member]:
        return [member for member in self.world.members.values() if not member.task.done()]

    async def do(self, what: str, which: int, pause_ms: int) -> None:
        alive = self.alive()
        member = alive[which % len(alive)] if alive else None
        if what == "send":
            self.send(which)
        elif what == "start" and len(alive) < 4:
            self.start()
        elif member is not None and what == "crash":
            await member.crash()
        elif member is not None and what == "stop":
            member.replica.stop()
        elif member is not None and what == "outage":
            member.log.down = not member.log.down
        elif member is not None and what == "stall":
            member.log.stall_s = 0.0 if member.log.stall_s else 0.7
        elif member is not None and what == "fault":
            kind = get_args(FaultKind)[which % 5]
            self.faults.append(member.log.fail(("log", "out")[which % 2], kind))
        elif what == "claim":
            self.world.claim_in_vain()
        elif what == "relief" and self.faults:
            self.faults[which % len(self.faults)].gate.set()
        await asyncio.sleep(pause_ms / 1000)

    def send(self, which: int) -> None:
        amounts = [len(self.sent) + n + 1 for n in range(which % 7)]
        if which % 5 == 0:
            amounts.append(POISON)
        self.sent += [amount for amount in amounts if amount != POISON]
        self.world.send(*amounts, partition=which % 2)

    def heal(self) -> None:
        for fault in self.faults:
            fault.gate.set()
        for member in self.world.members.values():
            member.log.down, member.log.stall_s = False, 0.0
        self.start()


async def check(world: World, sent: list[int]) -> None:
    expected = sorted(sum(sent[: n + 1]) for n in range(len(sent)))
    await eventually(lambda: len(world.history().state.amounts) >= len(sent), SETTLING_S)
    assert world.history().state.amounts == sent
    await eventually(lambda: len(world.received()) >= len(sent), SETTLING_S)
    assert sorted(world.received()) == expected
    for partition in (0, 1):
        told = world.distinct(world.storage.partitions["out", partition])
        assert told == sorted(told)


def check_leadership(world: World) -> None:
    won = {o for o, (_, verdict) in enumerate(world.verdicts()) if verdict is Verdict.WON}
    counted = [r for r, v in world.verdicts() if v.counts and not isinstance(r, Claim)]
    assert {record.term for record in counted} <= won
    assert [r.at for r in counted] == sorted(r.at for r in counted)


async def live_through(world: World, steps: list[tuple[str, int, int]]) -> None:
    chaos = Chaos(world)
    try:
        for step in steps:
            await chaos.do(*step)
        chaos.heal()
        await check(world, chaos.sent)
        check_leadership(world)
        state = world.history().state
        await eventually(
            lambda: all(m.replica.shard.state == state for m in chaos.alive()), SETTLING_S
        )
    finally:
        await world.end()


STEP = st.tuples(
    st.sampled_from(
        ["send", "send", "send", "start", "crash", "stop", "outage", "stall", "fault", "fault",
         "relief", "claim"]
    ),
    st.integers(0, 100),
    st.sampled_from([0, 1, 1, 2, 10, 60, 200, 400]),
)  # fmt: skip


@given(st.lists(STEP, min_size=5, max_size=40))
@settings(max_examples=40, deadline=None)
def test_whatever_fails(new_world: Callable[[], World], steps: list[tuple[str, int, int]]) -> None:
    async def run() -> None:
        await live_through(new_world(), steps)

    with asyncio.Runner(loop_factory=VirtualLoop) as runner:
        runner.run(run())
