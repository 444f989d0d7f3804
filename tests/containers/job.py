"""The dossier job, run through containers and judged by its result, its log and its files."""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from dataclasses import dataclass
from typing import Any

from folkmoot.runtime.service import QueryError
from folkmoot.sdk.client import Client, Saga
from folkmoot.sdk.errors import NoAnswer
from tests.containers.faults import Fault
from tests.containers.platform import Platform
from tests.containers.traces import see_one_trace

TEAM = "dossier"
PACE_MS = 400
"""How long a researcher looks at each package: a step takes some seconds, so that faults hit it."""

SHARDS = 6
POLL_S = 0.1
BEGINS_WITHIN_S = 60.0
ENDS_WITHIN_S = 180.0


@dataclass(frozen=True, slots=True)
class Finished:
    """One job that ended right. Times in seconds."""

    fault: str
    took_s: float
    ready_s: float
    packages: int
    verified: int
    spans: int


async def run(platform: Platform, name: str, fault: Fault, traced: bool = False) -> Finished:
    """Run one job, with the fault in mid-step, and see that it ended right and all healed.

    Raises:
        AssertionError: it did not.
    """
    folder = f"/var/lib/folkmoot/{name}"
    began = time.monotonic()
    async with Client.connect(platform.address) as client:
        saga = await client.submit(
            TEAM, {"out": folder, "shards": SHARDS, "pace_ms": PACE_MS}, idempotency_key=folder
        )
        await _under_way(saga)
        await asyncio.to_thread(fault.strike, platform, saga)
        try:
            result = await saga.result(timeout_s=ENDS_WITHIN_S)
            took_s = time.monotonic() - began
        finally:
            await asyncio.to_thread(fault.heal, platform)
        ready_s = await asyncio.to_thread(platform.wait_ready)
        await _judge(saga, result)
    _see_report(platform, folder)
    spans = see_one_trace(platform, saga.saga_id) if traced else ()
    found = result["packages"], result["verified"], len(spans)
    return Finished(fault.name, took_s, ready_s, *found)


async def _under_way(saga: Saga) -> None:
    """Wait until researchers are at work."""
    async with asyncio.timeout(BEGINS_WITHIN_S):
        while True:
            try:
                shown = await saga.state()
            except (NoAnswer, QueryError):
                shown = {"steps": []}
            at_work = [s for s in shown["steps"] if s["state"] == "running"]
            if any(str(step["id"]).startswith("research") for step in at_work):
                return
            await asyncio.sleep(POLL_S)


async def _judge(saga: Saga, result: Any) -> None:
    """Each step succeeded once, nothing was undone, and every claim was checked."""
    assert result["verified"] > 0, "no claim of the report was checked"
    events = [event async for event in saga.events()]
    done = Counter(
        event["data"]["step_id"]
        for event in events
        if event["type"] == "folkmoot.step-succeeded.v1"
    )
    wanted = {f"research-{n}" for n in range(1, SHARDS + 1)} | {"analyse", "write", "verify"}
    assert {step: done[step] for step in wanted} == dict.fromkeys(wanted, 1), done
    kinds = {event["type"] for event in events}
    assert "folkmoot.step-compensated.v1" not in kinds, "something was undone"


def _see_report(platform: Platform, folder: str) -> None:
    """The report lies where it was asked for, whole."""
    worker = platform.containers("agent-worker")[0]
    markdown = platform.engine("exec", worker, "cat", f"{folder}/dossier.md")
    assert markdown.startswith("# Dependency dossier"), markdown[:200]
    assert "<svg" in platform.engine("exec", worker, "cat", f"{folder}/dossier.html")
