"""Without a blob store, results that do not fit into the call that needs them fail its step."""

from __future__ import annotations

from pathlib import Path

import pytest

from folkmoot import Agent, Client, SagaFailed, Step, StepContext
from folkmoot.mesh import Mesh

agent = Agent("scanner", team="archive")
undone: list[str] = []


@agent.step("scan", timeout_s=600)
async def scan(ctx: StepContext, kilobytes: int) -> str:
    """Return that much."""
    return "x" * 1024 * kilobytes


@scan.compensate
async def discard(ctx: StepContext, kilobytes: int, done: str | None) -> None:
    """Throw it away."""
    undone.append(ctx.step_id)


agent.saga(
    [
        Step("scan", 300, id="left"),
        Step("scan", 300, id="right"),
        Step("scan", 1, id="bind", needs=["left", "right"]),
    ]
)


async def test_a_call_that_is_too_large_fails_its_step_and_the_saga_is_undone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FOLKMOOT_BLOBS", "none")
    async with (
        Mesh.start(f"embedded:{tmp_path}/log.db", [agent]) as mesh,
        Client.on(mesh.bus) as client,
    ):
        saga = await client.submit("archive", None)
        with pytest.raises(SagaFailed, match=r"a folkmoot.call.v1 of .* bytes is over the limit"):
            await saga.result(timeout_s=30)
        shown = await saga.state()
        assert (shown["state"], shown["failed_step"]) == ("compensated", "bind")
        assert shown["failure"]["kind"] == "too-large"
        assert sorted(undone) == ["left", "right"]
