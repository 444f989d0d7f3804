"""Values too large for a message go through the blob store, and nobody who handles them knows."""

from __future__ import annotations

import asyncio
import os
from pathlib import Path
from typing import Any

import pytest

from folkmoot import Agent, Client, LeaderContext, SagaFailed, Step, StepContext
from folkmoot.mesh import Mesh
from folkmoot.testing import History

MEGABYTE = 1024 * 1024
agent = Agent("scanner", team="archive", partitions=1)
calls: list[str] = []
undone: list[tuple[int, int]] = []
gate = asyncio.Event()


@agent.step("scan", timeout_s=600)
async def scan(ctx: StepContext, page: str) -> dict[str, Any]:
    """Return more than a message holds, through a call that gives as much."""

    async def read() -> str:
        calls.append(ctx.step_id)
        return page[::-1]

    text = await ctx.call("read", read)
    return {"pages": 1, "text": text}


@scan.compensate
async def discard(ctx: StepContext, page: str, done: dict[str, Any] | None) -> None:
    """Throw it away, which takes the input and the result."""
    undone.append((len(page), len(done["text"]) if done else 0))


@agent.step("bind")
async def bind(ctx: StepContext, title: str) -> str:
    """Put both together."""
    await gate.wait()
    return title + "".join(ctx.results[each]["text"] for each in ("left", "right"))


@agent.plan
async def plan(ctx: LeaderContext, pages: list[str]) -> list[Step]:
    """Scan two pages, whose text stands in the plan, and bind them."""
    left, right = pages
    return [
        Step("scan", left, id="left"),
        Step("scan", right, id="right"),
        Step("bind", "book", needs=["left", "right"]),
    ]


PAGES = ["a" * MEGABYTE, "b" * MEGABYTE]


def blobs(folder: Path) -> list[Path]:
    return [file for file in (folder / "log.db.blobs").rglob("*") if file.is_file()]


async def test_what_no_message_holds_goes_all_the_way(tmp_path: Path) -> None:
    calls.clear()
    gate.clear()
    async with (
        Mesh.start(f"embedded:{tmp_path}/log.db", [agent], ("one", "two")) as mesh,
        Client.on(mesh.bus) as client,
    ):
        saga = await client.submit("archive", PAGES)
        await both_scanned(mesh, saga.saga_id)
        mesh.kill(await who_binds(mesh, saga.saga_id))
        gate.set()
        result = await saga.result(timeout_s=30)
        assert result["bind"] == "book" + PAGES[0] + PAGES[1]
        history = await History.read(mesh.bus, saga.saga_id)
    assert sorted(calls) == ["left", "right"]
    assert max(len(repr(event.data)) for event in history.events) < 10_000
    assert len(blobs(tmp_path)) == len(["a page", "the other", "the book"])


async def both_scanned(mesh: Mesh, saga_id: str) -> None:
    async with asyncio.timeout(20):
        while True:
            history = await History.read(mesh.bus, saga_id)
            if history.of("call-started", step_id="bind"):
                return
            await asyncio.sleep(0.05)


async def who_binds(mesh: Mesh, saga_id: str) -> str:
    history = await History.read(mesh.bus, saga_id)
    member = mesh.member_called(history.of("call-started", step_id="bind")[-1].data["member"])
    assert member is not None
    return member.name


@pytest.mark.parametrize(
    ("harm", "kind"),
    [
        (lambda file: file.unlink(), "blob-missing"),
        (lambda file: os.truncate(file, 9), "blob-spoilt"),
        (lambda file: file.write_bytes(b"x" * file.stat().st_size), "blob-spoilt"),
    ],
    ids=["gone", "cut", "changed"],
)
async def test_a_value_that_is_lost_or_spoilt_fails_its_step_and_says_so(
    tmp_path: Path, harm: Any, kind: str
) -> None:
    async with (
        Mesh.start(f"embedded:{tmp_path}/log.db", [agent], ("one",)) as mesh,
        Client.on(mesh.bus) as client,
    ):
        task = await client.claims.packed(PAGES)
        for file in blobs(tmp_path):
            harm(file)
        saga = await client.submit("archive", task)
        with pytest.raises(SagaFailed, match="blob"):
            await saga.result(timeout_s=30)
        assert (await saga.state())["failure"]["kind"] == kind


async def test_a_compensation_gets_the_large_input_and_result(tmp_path: Path) -> None:
    undone.clear()
    gate.clear()
    async with (
        Mesh.start(f"embedded:{tmp_path}/log.db", [agent], ("one",)) as mesh,
        Client.on(mesh.bus) as client,
    ):
        saga = await client.submit("archive", PAGES)
        await both_scanned(mesh, saga.saga_id)
        await saga.cancel("ann")
        assert (await saga.outcome(timeout_s=30)).state == "compensated"
    assert undone == [(MEGABYTE, MEGABYTE)] * 2
