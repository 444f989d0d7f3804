"""A member that reads what was altered halts and says so, rather than believe it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from folkmoot.core.kernel import Effect, Position, Tampered
from folkmoot.core.names import by_wire_name
from folkmoot.runtime.seat import Role
from folkmoot.testing.eventually import eventually
from tests.unit.runtime.conftest import Add, Added, Adder, AlarmRang, AlarmSet, Sum

if TYPE_CHECKING:
    from tests.unit.runtime.conftest import World


WRONG = 666


@dataclass(frozen=True, slots=True)
class AddedTwice:
    amount: int
    twice: int

    def verify(self) -> None:
        if self.twice != 2 * self.amount:
            raise Tampered(f"{self.twice} is not twice {self.amount}: restore the log")


class Careful(Adder):
    """Records besides what twice an amount is, of one amount wrongly."""

    events: Mapping[str, type] = by_wire_name(Added, AlarmSet, AlarmRang, AddedTwice)

    def decide(self, state: Sum, message: object, now: int) -> Sequence[object]:
        if isinstance(message, Add):
            return [AddedTwice(message.amount, 2 * message.amount + (message.amount == WRONG))]
        return super().decide(state, message, now)

    def apply(self, state: Sum, event: object, position: Position) -> Sequence[Effect]:
        if isinstance(event, AddedTwice):
            state.total += event.amount
            return ()
        return super().apply(state, event, position)


async def test_who_reads_what_was_altered_halts_and_says_why(world: World) -> None:
    world.start("leads", machine=Careful())
    await world.leader()
    (reads,) = world.start("reads", machine=Careful())
    await eventually(lambda: reads.replica.role is Role.FOLLOWING)
    world.send(1, 2)
    await eventually(lambda: reads.replica.shard.state.total == 3)
    world.send(WRONG)
    await eventually(lambda: reads.replica.role is Role.HALTED)
    assert reads.replica.last_error == "1333 is not twice 666: restore the log"
    assert reads.replica.shard.state.total == 3
