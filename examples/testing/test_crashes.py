"""Members and services die, networks are cut, and what was paid is paid once."""

from __future__ import annotations

from folkmoot import Agent, Step, StepContext
from folkmoot.testing import TestMesh, simulated


class Shop:
    """An agent that calls something that costs money."""

    def __init__(self) -> None:
        self.paid: list[str] = []
        self.agent = Agent("shop", team="shop")
        self.agent.step("reserve", timeout_s=10)(self.reserve)
        self.agent.step("pay", timeout_s=10)(self.pay)
        self.agent.saga([Step("reserve"), Step("pay", needs=["reserve"])])

    async def reserve(self, ctx: StepContext, what: str) -> str:
        """Put it aside."""
        return f"{what} is put aside"

    async def pay(self, ctx: StepContext, what: str) -> str:
        """Pay for it: a journaled call is not repeated after a crash."""
        return str(await ctx.call("charge", self.charge, what))

    async def charge(self, what: str) -> str:
        """Stand in for the bank."""
        self.paid.append(what)
        return f"{what} is paid"


@simulated
async def test_a_member_dies_after_it_has_paid() -> None:
    """Another one goes on, and does not pay again."""
    shop = Shop()
    async with TestMesh(shop.agent) as mesh:
        mesh.kill(during="pay", after=True)
        saga = await mesh.submit("shop", "a kettle")
        await saga.result()
        history = mesh.history(saga)
    history.assert_runs("pay", 2)
    assert shop.paid == ["a kettle"]


@simulated
async def test_the_leader_dies_in_the_middle_of_its_plan() -> None:
    """Another member is elected, and plans."""
    shop = Shop()
    async with TestMesh(shop.agent, members=3) as mesh:
        leader = mesh.leader("shop")
        mesh.kill(leader, during="plan")
        saga = await mesh.submit("shop", "a kettle")
        await saga.result()
        assert mesh.leader("shop") != leader


@simulated
async def test_the_orchestrator_dies_while_a_step_runs() -> None:
    """The step goes on meanwhile, and its result is taken when the orchestrator is back."""
    shop = Shop()
    async with TestMesh(shop.agent) as mesh:
        saga = await mesh.submit("shop", "a kettle")
        await mesh.until(lambda: mesh.history(saga).runs("reserve"))
        mesh.kill("saga-orchestrator", restart_s=2)
        await saga.result()
        history = mesh.history(saga)
    history.assert_attempts("reserve", 1)
    history.assert_runs("reserve", 1)


@simulated
async def test_a_member_that_is_cut_off_is_not_waited_for() -> None:
    """The other one does the work."""
    shop = Shop()
    async with TestMesh(shop.agent) as mesh:
        await (await mesh.submit("shop", "a cup")).result()
        mesh.partition("worker-1")
        saga = await mesh.submit("shop", "a kettle")
        await saga.result()
        mesh.heal()
        runs = mesh.history(saga).of("call-started", step_id="pay")
    assert [run.data["member"] for run in runs] == ["worker-2.1"]
    assert shop.paid == ["a cup", "a kettle"]
