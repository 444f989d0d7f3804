"""Members of different versions at one log: who cannot read it says so, and does not guess."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import pytest

from folkmoot.core.kernel import Claim, Effect, Position
from folkmoot.core.names import by_wire_name
from folkmoot.runtime.seat import Role
from folkmoot.testing.eventually import eventually
from tests.unit.runtime.conftest import Add, Added, Adder, AlarmRang, AlarmSet, Sum

if TYPE_CHECKING:
    from tests.unit.runtime.conftest import World

OFTEN = {"snapshot_every_records": 20}


@dataclass(frozen=True, slots=True)
class AddedTwice:
    amount: int


class Newer(Adder):
    """Adds what is above 100 twice, by an event that the other version does not know."""

    events: Mapping[str, type] = by_wire_name(Added, AlarmSet, AlarmRang, AddedTwice)

    def decide(self, state: Sum, message: object, now: int) -> Sequence[object]:
        if isinstance(message, Add) and message.amount > 100:
            return [AddedTwice(message.amount)]
        return super().decide(state, message, now)

    def apply(self, state: Sum, event: object, position: Position) -> Sequence[Effect]:
        if isinstance(event, AddedTwice):
            state.total += 2 * event.amount
            return ()
        return super().apply(state, event, position)


@dataclass
class NewerSum(Sum):
    changes: int = 0


class WithANewState(Adder):
    """Counts as well, so that it has another state."""

    def initial(self) -> NewerSum:
        return NewerSum()

    def apply(self, state: Sum, event: object, position: Position) -> Sequence[Effect]:
        assert isinstance(state, NewerSum)
        state.changes += 1
        return super().apply(state, event, position)


async def test_who_is_too_old_halts_and_says_why_and_goes_on_when_upgraded(world: World) -> None:
    world.start("new", machine=Newer())
    new = await world.leader()
    (old,) = world.start("old")
    await eventually(lambda: old.replica.role is Role.FOLLOWING)
    world.send(1, 2)
    await eventually(lambda: old.replica.shard.state.total == 3)
    world.send(500)
    await eventually(lambda: old.replica.role is Role.HALTED)
    assert old.replica.last_error == (
        "the log holds 'folkmoot.added-twice.v1', which this version of Folkmoot does not know: "
        "upgrade it"
    )
    assert new.leads
    await old.stop()
    (upgraded,) = world.start("upgraded", machine=Newer())
    await eventually(lambda: upgraded.replica.role is Role.FOLLOWING)
    assert upgraded.replica.shard.state.total == 3 + 2 * 500


async def test_a_snapshot_does_not_carry_an_old_version_over_what_it_cannot_read(
    world: World,
) -> None:
    """It reads the same snapshots; what came before one is no matter, what comes after is."""
    world.start("new", machine=Newer(), timing=OFTEN)
    new = await world.leader()
    world.send(500, *[1] * 100)
    await eventually(lambda: new.replica.archive.written > 0)
    (old,) = world.start("old", timing=OFTEN)
    await eventually(lambda: old.replica.role is Role.FOLLOWING)
    assert old.replica.shard.state == new.replica.shard.state
    world.send(500)
    await eventually(lambda: old.replica.role is Role.HALTED)


@pytest.mark.parametrize(("first", "then"), [(Adder, WithANewState), (WithANewState, Adder)])
async def test_a_state_of_another_version_is_made_anew_from_the_log(
    world: World, first: type[Adder], then: type[Adder]
) -> None:
    world.start("first", machine=first(), timing=OFTEN)
    leader = await world.leader()
    world.send(*[1] * 100)
    await eventually(lambda: leader.replica.archive.written > 0)
    await eventually(lambda: leader.replica.shard.state.total == 100)
    (other,) = world.start("other", machine=then())
    await eventually(lambda: other.replica.role is Role.FOLLOWING)
    assert type(other.replica.shard.state) is type(then().initial())
    assert other.replica.shard.state.amounts == [1] * 100
    assert getattr(other.replica.shard.state, "changes", 100) == 100
    assert other.replica.archive.unreadable > 0


async def test_a_claim_says_which_version_its_member_reads(world: World) -> None:
    class Later(Adder):
        events: Mapping[str, type] = by_wire_name(
            *Adder.events.values(), type("Multiplied", (), {"VERSION": 3})
        )

    world.start("a", machine=Later())
    await world.leader()
    (claim,) = [record for record in world.records() if isinstance(record, Claim)]
    assert claim.version == 3
