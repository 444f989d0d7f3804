from __future__ import annotations

import asyncio
import os
import signal
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from folkmoot.local import state
from folkmoot.local.errors import AlreadyRunning, StartFailed, UnknownProcess
from folkmoot.local.processes import ServiceProcess
from folkmoot.local.supervisor import Supervisor
from folkmoot.local.up import Running, bus_address, down, status

Make = Callable[..., ServiceProcess]


async def started(data_dir: Path, *processes: ServiceProcess) -> Running:
    supervisor = Supervisor(data_dir)
    await supervisor.open()
    await supervisor.start(*processes)
    return Running(supervisor)


def farewells(trace: Path) -> list[str]:
    """Return the ports of the processes that ended in good order, in that order."""
    return trace.read_text().split()


async def test_what_is_left_runs_on_until_down(child: Make, trace: Path, tmp_path: Path) -> None:
    first, second = child("first"), child("second")
    async with await started(tmp_path, first, second) as running:
        running.leave()
    assert first.running
    assert [each.phase for each in await status(tmp_path)] == ["ready", "ready"]
    with pytest.raises(AlreadyRunning):
        await (refused := Supervisor(tmp_path)).open()
    assert await down(tmp_path) == ("first", "second")
    assert farewells(trace) == [str(second.port), str(first.port)]
    assert state.read(tmp_path) is None
    await refused.open()
    await refused.stop()


async def test_a_guard_leaves_alone_what_was_left(child: Make, tmp_path: Path) -> None:
    process = child()
    (await started(tmp_path, process)).leave()
    late_guard = [sys.executable, "-m", "folkmoot.local.guard", str(tmp_path), str(os.getpid())]
    guarding = await asyncio.create_subprocess_exec(*late_guard, stdin=asyncio.subprocess.DEVNULL)
    assert await guarding.wait() == 0
    assert process.running


async def test_what_was_left_and_has_ended_is_in_nobodys_way(child: Make, tmp_path: Path) -> None:
    process = child()
    (await started(tmp_path, process)).leave()
    await process.kill()
    again = await started(tmp_path)
    await again.stop()
    assert state.read(tmp_path) is None


async def test_down_does_not_end_who_left_the_processes(child: Make, tmp_path: Path) -> None:
    asked: list[int] = []
    before = signal.signal(signal.SIGTERM, lambda number, _frame: asked.append(number))
    try:
        (await started(tmp_path, process := child())).leave()
        assert await down(tmp_path) == ("child",)
    finally:
        signal.signal(signal.SIGTERM, before)
    assert asked == []
    assert process.exit_status == 0


async def test_one_process_can_be_killed_by_name(child: Make, tmp_path: Path) -> None:
    first, second = child("first"), child("second")
    async with await started(tmp_path, first, second) as running:
        await running.kill("second")
        assert second.exit_status == -signal.SIGKILL
        assert first.running
        with pytest.raises(UnknownProcess, match=r"'third'; there are: first, second"):
            await running.kill("third")
        with pytest.raises(StartFailed, match=r"^second did not start: it ended"):
            await running.wait_ready()


async def test_readiness_can_be_waited_for_again(child: Make, tmp_path: Path) -> None:
    process = child()
    async with await started(tmp_path, process) as running:
        assert process.pid is not None
        os.kill(process.pid, signal.SIGSTOP)
        waiting = asyncio.create_task(running.wait_ready())
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(asyncio.shield(waiting), 0.3)
        os.kill(process.pid, signal.SIGCONT)
        await waiting


async def test_there_is_a_bus_while_both_brokers_run(child: Make, tmp_path: Path) -> None:
    kafka, nats = child("kafka"), child("nats")
    async with await started(tmp_path, kafka, nats) as running:
        assert running.address == f"kafka://{kafka.address}?nats={nats.address}"
        assert bus_address(tmp_path) == running.address
        await running.kill("nats")
        assert running.address is None
        assert bus_address(tmp_path) is None
