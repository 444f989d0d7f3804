"""A member that cannot lead a team, because its shard is halted there, leaves it to the others."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pytest

from folkmoot import Agent, Client, StepContext
from folkmoot.core.kernel import Effect
from folkmoot.mesh import Mesh
from folkmoot.runtime.seat import Role

app = Agent("greeter", team="greeters")


@app.step("greet")
async def greet(ctx: StepContext, name: str) -> str:
    """Greet."""
    return f"hello, {name}"


async def test_a_member_whose_team_is_halted_is_followed_by_another(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with (
        Mesh.start(f"embedded:{tmp_path}/log.db", [app], ("one", "two")) as mesh,
        Client.on(mesh.bus) as client,
    ):
        assert await (await client.submit("greeters", "a")).result(str, timeout_s=30)
        elected = await client.team("greeters").leader()
        assert elected is not None
        halted = next(m for m in mesh.members.values() if m.member_id == elected.leader)
        (team,) = (r for r in halted.service.replicas if r.name.service == "team.greeters")
        monkeypatch.setattr(team.shard.machine, "apply", broken)
        saga = await client.submit("greeters", "b")
        assert await saga.result(str, timeout_s=50) == "hello, b"
        assert team.role is Role.HALTED
        followed = await client.team("greeters").leader()
        assert followed is not None
        assert followed.leader not in (None, elected.leader)


def broken(*_: object) -> Sequence[Effect]:
    raise RuntimeError("this member's version cannot do it")
