"""A recorded saga is run again with today's code, and what it does otherwise is told."""

from __future__ import annotations

from pathlib import Path

import pytest

from folkmoot import Agent, LeaderContext, Permanent, Retry, Retryable, Step, StepContext
from folkmoot.testing import History, TestMesh, replay, simulate


class Shop:
    """An agent of which a later version may do things otherwise."""

    def __init__(self, version: str = "then") -> None:
        self.version, self.charged = version, 0
        self.agent = Agent("shop", team="shop")
        self.agent.step("pack", retry=Retry(3))(self.pack)
        self.agent.step("pay")(self.pay).compensate(self.pay_back)
        self.agent.step("send")(self.send)
        self.agent.plan(self.plan)

    async def plan(self, ctx: LeaderContext, what: str) -> list[Step]:
        needs = ["pay"] if self.version != "plans otherwise" else ["pay", "pack"]
        return [Step("pack", what), Step("pay", what), Step("send", what, needs=needs)]

    async def pack(self, ctx: StepContext, what: str) -> str:
        if ctx.attempt == 1 and self.version == "then":
            raise Retryable("no box")
        return f"{what} in a {'bag' if self.version == 'packs otherwise' else 'box'}"

    async def pay(self, ctx: StepContext, what: str) -> int:
        paid = int(await ctx.call("charge", self._charge))
        if self.version == "charges twice":
            paid += int(await ctx.call("charge", self._charge))
        return paid

    async def _charge(self) -> int:
        self.charged += 1
        return 7

    async def pay_back(self, ctx: StepContext, what: str, done: int | None) -> None:
        await ctx.call("refund", self._charge)

    async def send(self, ctx: StepContext, what: str) -> bool:
        if what == "glass" and self.version != "sends glass":
            raise Permanent("it broke")
        return await ctx.ask_human("Is it sent?", bool, deadline_s=60) if what == "gold" else True


def recorded(what: str, path: Path) -> History:
    """Run a saga with the code of then, and return its recording as it comes from a file."""

    async def scenario() -> History:
        async with TestMesh(Shop().agent) as mesh:
            saga = await mesh.submit("shop", what)
            if what == "gold":
                await mesh.until(lambda: mesh.history(saga).of("question-asked"))
                (question,) = (await saga.state())["questions"]
                await saga.answer(question["id"], "ann", value=False)
            await saga.outcome()
            return mesh.history(saga)

    simulate(scenario()).save(path / "saga.jsonl")
    return History.load(path / "saga.jsonl")


@pytest.mark.parametrize("what", ["cup", "glass", "gold"])
def test_the_same_code_does_the_same_and_touches_nothing(what: str, tmp_path: Path) -> None:
    shop, recording = Shop(), recorded(what, tmp_path)
    assert simulate(replay(recording, [shop.agent])) == []
    assert shop.charged == 0


@pytest.mark.parametrize(
    ("version", "what", "differs"),
    [
        ("packs otherwise", "cup", {"result", "result of pack"}),
        ("plans otherwise", "cup", {"plan of send"}),
        ("charges twice", "cup", {"calls of pay"}),
    ],
)
def test_what_another_version_does_is_told(
    version: str, what: str, differs: set[str], tmp_path: Path
) -> None:
    shop = Shop(version)
    differences = simulate(replay(recorded(what, tmp_path), [shop.agent]))
    assert {each.where for each in differences} == differs
    assert all(each.where in str(each) for each in differences)
    assert shop.charged == 0


def test_a_recording_that_has_no_end_is_refused(tmp_path: Path) -> None:
    whole = recorded("cup", tmp_path)
    cut = History(whole.saga_id, [e for e in whole.events if e.type != "saga-completed"])
    with pytest.raises(AssertionError, match="had not ended"):
        simulate(replay(cut, [Shop().agent]))
