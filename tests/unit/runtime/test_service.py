"""A service: its health, its answers, and what runs beside its replicas."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import orjson
import pytest

from folkmoot.bus.inprocess import Hub, InProcessGossip
from folkmoot.bus.ports import Bus, BusUnavailable, NoResponder
from folkmoot.core.messages import Announce
from folkmoot.runtime.seat import Role
from folkmoot.runtime.service import QueryError, Service, announcer, read_answer
from folkmoot.testing.eventually import eventually
from folkmoot.testing.faulty_log import FaultyLog, Storage
from folkmoot.testing.virtual_time import LoopClock

if TYPE_CHECKING:
    from tests.unit.runtime.conftest import World

QUERY = "folkmoot.query.adder.0"


def answer(state: Any, request: Any) -> Any:
    if request["op"] != "total":
        raise QueryError("unknown-query", f"there is no {request['op']}")
    return {"total": state.total, "amounts": state.amounts}


class House:
    """A service with one replica out of a world."""

    def __init__(self, world: World, **fields: Any) -> None:
        self.world = world
        self.log = FaultyLog(world.storage)
        self.bus = Bus(self.log, InProcessGossip(Hub()), "house")
        self.replica = world.replica("house", self.log)
        self.service = Service("adder", self.bus, LoopClock(), [self.replica], answer, **fields)
        self.task = asyncio.create_task(self.service.run())

    async def ready(self) -> None:
        await eventually(lambda: self.service.health().ready and self.replica.leads)
        await asyncio.sleep(0.05)

    async def ask(self, **request: Any) -> Any:
        return read_answer(await self.bus.gossip.request(QUERY, orjson.dumps(request), 1_000))

    async def stop(self) -> None:
        self.service.stop()
        await self.task


@pytest.fixture
def house(world: World) -> Callable[..., House]:
    return lambda **fields: House(world, **fields)


# -- questions ------------------------------------------------------------------------------------


async def test_the_leader_answers_from_its_state(world: World, house: Callable[..., House]) -> None:
    at_home = house()
    await at_home.ready()
    world.send(1, 2)
    await world.told(1, 3)
    assert await at_home.ask(op="total") == {"total": 3, "amounts": [1, 2]}
    await at_home.stop()
    with pytest.raises(NoResponder):
        await at_home.ask(op="total")


@pytest.mark.parametrize(
    ("question", "kind"),
    [
        (b'{"op":"x"}', "unknown-query"),
        (b"{}", "invalid-query"),
        (b"", "invalid-query"),
        (b"[]", "invalid-query"),
        (b"\xff", "invalid-query"),
    ],
)
async def test_a_bad_question_is_refused_in_words(
    house: Callable[..., House], question: bytes, kind: str
) -> None:
    at_home = house()
    await at_home.ready()
    with pytest.raises(QueryError) as refusal:
        read_answer(await at_home.bus.gossip.request(QUERY, question, 1_000))
    assert refusal.value.kind == kind
    await at_home.stop()


async def test_nobody_is_told_what_is_not_in_the_log(
    world: World, house: Callable[..., House]
) -> None:
    at_home = house()
    await at_home.ready()
    held = at_home.log.fail("log", "held")
    world.send(5)
    await held.hit.wait()
    asked = asyncio.create_task(at_home.ask(op="total"))
    await asyncio.sleep(0.05)
    assert not asked.done()
    held.gate.set()
    assert (await asked)["total"] == 5
    await at_home.stop()


async def test_a_decision_that_did_not_reach_the_log_is_never_told(
    world: World, house: Callable[..., House]
) -> None:
    at_home = house()
    await at_home.ready()
    held = at_home.log.fail("log", "held")
    world.send(5)
    await held.hit.wait()
    asked = asyncio.create_task(at_home.ask(op="total"))
    world.start("other")
    await world.leader()
    held.gate.set()
    with pytest.raises(QueryError, match="not led here; ask again"):
        await asked
    at_home.task.cancel()
    await asyncio.wait([at_home.task])


async def test_a_killed_service_answers_no_more(house: Callable[..., House]) -> None:
    at_home = house()
    await at_home.ready()
    await at_home.ask(op="total")
    at_home.task.cancel()
    await asyncio.wait([at_home.task])
    assert at_home.task.cancelled()
    with pytest.raises(NoResponder):
        await at_home.ask(op="total")


# -- health ---------------------------------------------------------------------------------------


async def test_health_says_what_is_wrong(world: World, house: Callable[..., House]) -> None:
    at_home = house()
    assert at_home.service.health().reasons == ("log/0 is being restored from its log",)
    await at_home.ready()
    at_home.log.down = True
    await eventually(lambda: not at_home.service.health().ready)
    (reason,) = at_home.service.health().reasons
    assert reason == "log/0 is being restored from its log (the log is out of reach)"
    at_home.log.down = False
    await at_home.ready()
    assert [shard.error for shard in at_home.service.health().shards] == [None]
    at_home.log.corrupt = True
    await eventually(lambda: at_home.replica.role is Role.HALTED)
    (reason,) = at_home.service.health().reasons
    assert reason == "log/0 halted: the log cannot be read: restore it from a copy"
    await at_home.stop()


async def test_a_leader_that_cannot_append_is_not_ready(
    world: World, house: Callable[..., House]
) -> None:
    at_home = house()
    await at_home.ready()
    held = at_home.log.fail("log", "held")
    await held.hit.wait()
    assert at_home.service.health().ready
    await asyncio.sleep(11)
    (reason,) = at_home.service.health().reasons
    assert reason.startswith("log/0 has not appended for 1")
    held.gate.set()
    await at_home.ready()
    (shard,) = at_home.service.health().shards
    assert (shard.shard, shard.role, shard.holder) == ("log/0", "leading", "house")
    await at_home.stop()


# -- what runs beside -----------------------------------------------------------------------------


@pytest.mark.parametrize("problem", [BusUnavailable("gone"), asyncio.CancelledError()])
async def test_what_runs_beside_survives_an_outage(
    house: Callable[..., House], problem: BaseException
) -> None:
    begun: list[float] = []

    async def job() -> None:
        begun.append(asyncio.get_running_loop().time())
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(asyncio.sleep(0.1))
            if len(begun) < 3:
                raise problem
        await asyncio.Event().wait()

    at_home = house(jobs=[job])
    await eventually(lambda: len(begun) == 3)
    assert begun == pytest.approx([0, 0.5, 1.0])
    await at_home.ready()
    await at_home.stop()


async def test_what_runs_beside_can_be_killed_while_it_fails(house: Callable[..., House]) -> None:
    async def job() -> None:
        try:
            await asyncio.Event().wait()
        finally:
            raise BusUnavailable("gone")

    at_home = house(jobs=[job])
    await at_home.ready()
    at_home.task.cancel()
    await asyncio.wait([at_home.task], timeout=5)
    assert at_home.task.cancelled()


async def test_a_defect_beside_the_replicas_ends_the_service(house: Callable[..., House]) -> None:
    async def job() -> None:
        raise ValueError("a bug")

    at_home = house(jobs=[job])
    with pytest.raises(ExceptionGroup) as problem:
        await at_home.task
    assert problem.group_contains(ValueError, match="a bug")


async def test_a_farewell_that_fails_does_not_keep_from_handing_over(
    world: World, house: Callable[..., House]
) -> None:
    async def farewell() -> None:
        raise BusUnavailable("gone")

    at_home = house(on_stop=farewell)
    await at_home.ready()
    await at_home.stop()
    assert at_home.replica.role is Role.STOPPED
    assert world.history().leadership.holder is None


async def test_a_farewell_is_said_before_the_shards_are_handed_over(
    world: World, house: Callable[..., House]
) -> None:
    led: list[bool] = []

    async def farewell() -> None:
        led.append(at_home.replica.leads)

    at_home = house(on_stop=farewell)
    await at_home.ready()
    await at_home.stop()
    assert led == [True]


async def test_announcements_are_published_and_may_fail(caplog: pytest.LogCaptureFixture) -> None:
    heard: list[bytes] = []
    gossip = InProcessGossip(Hub())

    async def hear(message: Any) -> None:
        heard.append(message.data)

    await gossip.subscribe("s", hear)
    announce = announcer(Bus(FaultyLog(Storage({})), gossip, ""))
    announce(Announce("s", {"a": 1}))
    announce("something else")
    await eventually(lambda: heard == [b'{"a":1}'])
    await gossip.close()
    announce(Announce("s", 2))
    await eventually(lambda: "an announcement was not published" in caplog.text)


async def test_what_is_done_at_the_very_end_is_done_when_all_is_handed_over(
    house: Callable[..., House],
) -> None:
    seen: list[Role] = []

    async def note() -> None:
        seen.append(made.replica.role)

    made = house(on_stopped=note)
    await made.ready()
    await made.stop()
    assert seen == [Role.STOPPED]
