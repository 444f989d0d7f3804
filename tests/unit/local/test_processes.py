from __future__ import annotations

import asyncio
import os
import signal
import socket
from collections.abc import Callable
from pathlib import Path

import pytest

from folkmoot.local.errors import PortTaken, StartFailed, ToolMissing
from folkmoot.local.ports import free_port
from folkmoot.local.processes import ServiceProcess, ServiceSpec

Make = Callable[..., ServiceProcess]


async def test_a_process_has_started_when_it_says_that_it_is_ready(child: Make) -> None:
    process = child(refusals=3)
    await process.start()
    assert await process.ready()
    assert await process.stop()
    assert process.exit_status == 0
    assert not await process.ready()


async def test_a_process_that_dies_while_starting_is_reported_with_its_last_words(
    child: Make,
) -> None:
    process = child("breaker-proxy", does="dying")
    with pytest.raises(StartFailed, match=r"breaker-proxy did not start.*status 3") as failure:
        await process.start()
    assert failure.value.last_lines == ("about to fail", "there is no topic")
    assert str(failure.value).endswith("there is no topic")
    assert str(process.log) in str(failure.value)


async def test_a_process_that_is_not_ready_in_time_does_not_go_on(child: Make) -> None:
    process = child(does="never ready")
    with pytest.raises(StartFailed, match=r"not ready within 0\.5 s"):
        await process.start(within_ms=500)
    assert process.exit_status == -signal.SIGKILL


async def test_a_start_that_is_cancelled_leaves_nothing_behind(child: Make) -> None:
    process = child(does="never ready")
    spawned = asyncio.Event()
    start = asyncio.create_task(process.start(on_spawn=lambda _: spawned.set()))
    await spawned.wait()
    start.cancel()
    with pytest.raises(asyncio.CancelledError):
        await start
    assert process.exit_status == -signal.SIGKILL


async def test_a_process_that_does_not_end_when_asked_is_killed(child: Make) -> None:
    process = child(does="deaf")
    await process.start()
    assert not await process.stop(within_ms=200)
    assert process.exit_status == -signal.SIGKILL


async def test_a_killed_process_gets_no_chance_to_clean_up(child: Make, trace: Path) -> None:
    process = child()
    await process.start()
    await process.kill()
    assert process.exit_status == -signal.SIGKILL
    assert trace not in trace.parent.iterdir()


async def test_a_restarted_process_has_the_same_port_and_a_new_log(child: Make) -> None:
    process = child()
    await process.start()
    first = process.pid
    await process.restart()
    assert await process.ready()
    assert process.pid != first
    before = process.log.with_name(process.log.name + ".1")
    assert process.log.read_text() == before.read_text() == f"serving {process.port}\n"
    await process.stop()


async def test_a_process_is_out_of_reach_of_ctrl_c(child: Make) -> None:
    process = child()
    await process.start()
    assert process.pid is not None
    assert os.getsid(process.pid) != os.getsid(0)
    await process.stop()


async def test_a_taken_port_is_reported_with_who_has_it(child: Make) -> None:
    process = child("election")
    with socket.create_server(("127.0.0.1", process.port)), pytest.raises(PortTaken) as failure:
        await process.start()
    assert f"election needs port {process.port}" in str(failure.value)
    assert f"(process {os.getpid()})" in str(failure.value)
    assert process.pid is None


async def test_a_program_that_is_not_there_is_named(tmp_path: Path) -> None:
    spec = ServiceSpec("worker", ["/nowhere/worker"], free_port())
    with pytest.raises(ToolMissing, match="/nowhere/worker: No such file"):
        await ServiceProcess(spec, tmp_path / "worker.log").start()


async def test_a_process_started_in_one_loop_can_be_stopped_in_another(child: Make) -> None:
    process = child()
    await asyncio.to_thread(asyncio.run, process.start())
    assert await process.stop()
