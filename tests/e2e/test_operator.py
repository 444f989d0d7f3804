"""A saga is paused, resumed, mended and terminated by its operator, on a whole embedded mesh."""

from __future__ import annotations

import asyncio
import contextlib
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from running import environment

from folkmoot import (
    Agent,
    Client,
    ControlRefused,
    LeaderContext,
    NoAnswer,
    Retry,
    SagaFailed,
    Step,
    StepContext,
)
from folkmoot.mesh import Mesh

SLOW = Retry(attempts=9, initial_s=600, cap_s=600)


class Office:
    """An agent whose first step does what the test lets it, and what it did."""

    def __init__(self) -> None:
        self.agent = Agent("clerk", team="office")
        self.may_end = asyncio.Event()
        self.done: list[str] = []
        self.begun: list[str] = []
        self.broken = False
        self.agent.plan(self.plan)
        self.agent.step("file", retry=SLOW)(self.file)
        stamp = self.agent.step("stamp")(self.stamp)
        stamp.compensate(self.unstamp)

    async def plan(self, ctx: LeaderContext, task: str) -> list[Step]:
        return [Step("stamp", task), Step("file", task, needs=["stamp"])]

    async def file(self, ctx: StepContext, task: str) -> str:
        self.begun.append("file")
        if self.broken:
            raise RuntimeError("the cabinet is locked")
        self.done.append("file")
        return task

    async def stamp(self, ctx: StepContext, task: str) -> str:
        self.begun.append("stamp")
        await self.may_end.wait()
        self.done.append("stamp")
        return task

    async def unstamp(self, ctx: StepContext, task: str, done: str | None) -> None:
        self.done.append("unstamp")


@pytest.fixture
async def office() -> Office:
    return Office()


@pytest.fixture
async def client(office: Office, tmp_path: Path) -> AsyncIterator[Client]:
    async with (
        Mesh.start(f"embedded:{tmp_path}/log.db", [office.agent]) as mesh,
        Client.on(mesh.bus) as connected,
    ):
        yield connected


async def state_of(saga: Any, *, step: str, state: str) -> str:
    """Wait until a step is in a state, whoever answers for its saga; that of the saga then."""
    async with asyncio.timeout(30):
        while True:
            with contextlib.suppress(NoAnswer):
                shown = await saga.state()
                if any(each["id"] == step and each["state"] == state for each in shown["steps"]):
                    return str(shown["state"])
            await asyncio.sleep(0.02)


async def test_a_paused_saga_takes_the_answer_under_way_and_goes_on_when_resumed(
    office: Office, client: Client
) -> None:
    saga = await client.submit("office", "a form")
    await state_of(saga, step="stamp", state="running")
    await saga.pause("anna", "lunch")
    office.may_end.set()
    assert await state_of(saga, step="stamp", state="succeeded") == "paused"
    with pytest.raises(ControlRefused, match="it is paused already"):
        await saga.pause("bert")
    assert office.begun == ["stamp"]
    await saga.resume("anna")
    assert await saga.result(timeout_s=20) == {"stamp": "a form", "file": "a form"}


async def test_a_step_that_waits_is_mended_and_tried_again(office: Office, client: Client) -> None:
    office.broken = True
    office.may_end.set()
    saga = await client.submit("office", "a form")
    await state_of(saga, step="file", state="retrying")
    office.broken = False
    await saga.retry_step("file", "anna", "it is unlocked")
    assert await saga.result(timeout_s=20) == {"stamp": "a form", "file": "a form"}
    assert office.done == ["stamp", "file"]


async def test_a_terminated_saga_undoes_nothing(office: Office, client: Client) -> None:
    office.broken = True
    office.may_end.set()
    saga = await client.submit("office", "a form")
    await state_of(saga, step="file", state="retrying")
    await saga.terminate("anna", "enough")
    with pytest.raises(SagaFailed, match="is terminated: terminated by anna: enough"):
        await saga.result(timeout_s=20)
    assert office.done == ["stamp"]


async def test_the_command_line_controls_a_saga(office: Office, client: Client) -> None:
    office.broken = True
    office.may_end.set()
    saga = await client.submit("office", "a form")
    await state_of(saga, step="file", state="retrying")
    address = client.bus.address

    async def folkmoot(*words: str) -> tuple[int, str]:
        command = [sys.executable, "-m", "folkmoot.cli", "sagas", *words, "--bus", address]
        process = await asyncio.create_subprocess_exec(
            *command, env=environment(), stdout=-1, stderr=-2
        )
        told, _ = await asyncio.wait_for(process.communicate(), 50)
        return process.returncode or 0, " ".join(told.decode().split())

    status, said = await folkmoot("resume", saga.saga_id)
    assert (status, said) == (1, f"error: saga {saga.saga_id}: it is not paused")
    status, said = await folkmoot(
        "force-complete", saga.saga_id, "file", "--result", '"by hand"', "--actor", "anna"
    )
    assert (status, said) == (0, f"saga {saga.saga_id}: step file is taken as done")
    assert await saga.result(timeout_s=20) == {"stamp": "a form", "file": "by hand"}
