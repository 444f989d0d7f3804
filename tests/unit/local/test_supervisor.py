from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import psutil
import pytest

from folkmoot.local import state
from folkmoot.local.errors import AlreadyRunning, StartFailed
from folkmoot.local.events import Died, Event, LeftoversStopped, Ready, Starting, Stopped, Stopping
from folkmoot.local.processes import ServiceProcess
from folkmoot.local.supervisor import Supervisor
from folkmoot.local.up import STOP_SIGNALS, Running, down, status
from folkmoot.testing.eventually import eventually

Make = Callable[..., ServiceProcess]

UP = """
import asyncio, sys
from pathlib import Path
from folkmoot.local.processes import ServiceProcess, ServiceSpec
from folkmoot.local.supervisor import Supervisor
from folkmoot.local.up import Running

async def main(data_dir, *children):
    supervisor = Supervisor(Path(data_dir))
    await supervisor.open()
    for number, (code, port, trace) in enumerate(zip(*[iter(children)] * 3)):
        argv = [sys.executable, "-c", code, port, trace, "0"]
        spec = ServiceSpec(f"child-{number}", argv, int(port))
        await supervisor.start(ServiceProcess(spec, Path(data_dir) / f"{number}.log"))
    running = Running(supervisor)
    holding = asyncio.create_task(running.hold())
    await asyncio.sleep(0)
    print("up", flush=True)
    await holding

asyncio.run(main(*sys.argv[1:]))
"""


@pytest.fixture
def heeded() -> Iterator[None]:
    """Heed the signals, some of which a shell has its background jobs ignore."""
    before = {each: signal.signal(each, signal.SIG_DFL) for each in STOP_SIGNALS}
    yield
    for each, handler in before.items():
        signal.signal(each, handler)


@contextmanager
def another_supervisor(
    data_dir: Path, *children: ServiceProcess
) -> Iterator[subprocess.Popen[str]]:
    """Run children under a supervisor in a process of its own, and return when all are ready."""
    arguments = [each for child in children for each in child._argv[2:5]]
    argv = [sys.executable, "-c", UP, str(data_dir), *arguments]
    with subprocess.Popen(argv, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "up\n"
        yield process
        process.kill()


def farewells(trace: Path) -> list[str]:
    """Return the ports of the processes that ended in good order, in that order."""
    return trace.read_text().split()


def ended(run: state.State) -> bool:
    return all(each.identity.find() is None for each in run.processes)


def guard_of(supervisor_pid: int) -> psutil.Process:
    children = psutil.Process(supervisor_pid).children()
    [guard] = [each for each in children if "folkmoot.local.guard" in each.cmdline()]
    return guard


async def test_processes_are_stopped_in_reverse_order(
    child: Make, trace: Path, tmp_path: Path
) -> None:
    events: list[Event] = []
    supervisor = Supervisor(tmp_path, events.append)
    first, second, third = child("first"), child("second"), child("third")
    await supervisor.open()
    await supervisor.start(first)
    await supervisor.start(second)
    await supervisor.start(third)
    recorded = state.read(tmp_path)
    assert recorded is not None
    assert [each.name for each in recorded.processes] == ["first", "second", "third"]
    assert [each.identity.pid for each in recorded.processes] == [first.pid, second.pid, third.pid]
    await supervisor.stop()
    assert farewells(trace) == [str(each.port) for each in (third, second, first)]
    assert state.read(tmp_path) is None
    assert events[:1] == [Starting("first")]
    assert [type(each) for each in events].count(Ready) == 3
    assert events[-2:] == [Stopping("first"), Stopped("first", killed=False)]


async def test_one_that_does_not_start_stops_those_that_start_with_it(
    child: Make, tmp_path: Path
) -> None:
    supervisor = Supervisor(tmp_path)
    before, beside = child("before"), child("beside", does="never ready")
    await supervisor.open()
    await supervisor.start(before)
    with pytest.raises(StartFailed, match=r"^bad did not start"):
        await supervisor.start(beside, child("bad", does="dying"))
    assert before.running
    assert not beside.running
    await supervisor.stop()
    assert not before.running


async def test_a_death_is_told_with_the_last_lines(child: Make, tmp_path: Path) -> None:
    events: list[Event] = []
    supervisor = Supervisor(tmp_path, events.append)
    lives, dies = child("lives"), child("dies")
    await supervisor.open()
    await supervisor.start(lives, dies)
    assert dies.pid is not None
    os.kill(dies.pid, signal.SIGKILL)
    async with asyncio.timeout(10):
        died = await supervisor.death()
    assert died == Died("dies", -signal.SIGKILL, (f"serving {dies.port}",))
    assert events[-1] == died
    assert {each.name: each.phase for each in await status(tmp_path)} == {
        "lives": "ready",
        "dies": "dead",
    }
    await supervisor.stop()


async def test_one_that_does_not_end_is_killed_and_the_rest_still_stopped(
    child: Make, trace: Path, tmp_path: Path
) -> None:
    events: list[Event] = []
    supervisor = Supervisor(tmp_path, events.append, stop_within_ms=200)
    good = child("good")
    await supervisor.open()
    await supervisor.start(good)
    await supervisor.start(child("deaf", does="deaf"))
    await supervisor.stop()
    assert Stopped("deaf", killed=True) in events
    assert farewells(trace) == [str(good.port)]


async def test_a_directory_has_one_supervisor(tmp_path: Path) -> None:
    supervisor = Supervisor(tmp_path)
    await supervisor.open()
    with pytest.raises(AlreadyRunning):
        await Supervisor(tmp_path).open()
    assert state.read(tmp_path) is not None
    await supervisor.stop()
    assert state.read(tmp_path) is None


async def test_a_killed_supervisor_leaves_nothing_behind(
    child: Make, trace: Path, tmp_path: Path
) -> None:
    first, second = child("first"), child("second")
    with another_supervisor(tmp_path, first, second) as process:
        run = state.read(tmp_path)
        assert run is not None
        assert not ended(run)
        process.kill()
    await eventually(lambda: ended(run))
    await eventually(lambda: state.read(tmp_path) is None)
    assert farewells(trace) == [str(second.port), str(first.port)]


async def test_a_new_run_stops_what_an_old_one_left(
    child: Make, trace: Path, tmp_path: Path
) -> None:
    with another_supervisor(tmp_path, child("first")) as process:
        guard_of(process.pid).kill()
        process.kill()
    run = state.read(tmp_path)
    assert run is not None
    assert not ended(run)
    events: list[Event] = []
    supervisor = Supervisor(tmp_path, events.append)
    await supervisor.open()
    assert ended(run)
    assert events[-1] == LeftoversStopped(("child-0",))
    await supervisor.stop()


async def test_down_asks_the_supervisor_of_another_process(
    child: Make, trace: Path, tmp_path: Path
) -> None:
    first, second = child("first"), child("second")
    with another_supervisor(tmp_path, first, second) as process:
        assert [each.phase for each in await status(tmp_path)] == ["ready", "ready"]
        assert await down(tmp_path) == ("child-0", "child-1")
        assert process.wait() == 0
    assert farewells(trace) == [str(second.port), str(first.port)]
    assert await status(tmp_path) == []
    assert await down(tmp_path) == ()


async def test_down_stops_what_a_dead_supervisor_left(
    child: Make, trace: Path, tmp_path: Path
) -> None:
    left = child()
    with another_supervisor(tmp_path, left) as process:
        guard_of(process.pid).kill()
        process.kill()
    assert [each.phase for each in await status(tmp_path)] == ["ready"]
    assert await down(tmp_path) == ("child-0",)
    assert state.read(tmp_path) is None
    assert farewells(trace) == [str(left.port)]


async def test_holding_ends_with_the_process_that_died(child: Make, tmp_path: Path) -> None:
    supervisor = Supervisor(tmp_path)
    dies, lives = child("dies"), child("lives")
    await supervisor.open()
    await supervisor.start(dies, lives)
    await dies.kill()
    died = await Running(supervisor).hold()
    assert died is not None
    assert died.name == "dies"
    assert not lives.running


@pytest.mark.usefixtures("heeded")
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
async def test_a_signal_ends_holding_in_good_order(
    child: Make, tmp_path: Path, number: signal.Signals
) -> None:
    supervisor = Supervisor(tmp_path)
    process = child()
    await supervisor.open()
    await supervisor.start(process)
    holding = asyncio.create_task(Running(supervisor).hold())
    await asyncio.sleep(0)
    os.kill(os.getpid(), number)
    assert await holding is None
    assert process.exit_status == 0


@pytest.mark.usefixtures("heeded")
async def test_a_signal_that_was_ignored_stays_ignored(child: Make, tmp_path: Path) -> None:
    signal.signal(signal.SIGHUP, signal.SIG_IGN)
    supervisor = Supervisor(tmp_path)
    process = child()
    await supervisor.open()
    await supervisor.start(process)
    holding = asyncio.create_task(Running(supervisor).hold())
    await asyncio.sleep(0)
    assert signal.getsignal(signal.SIGINT) is not signal.SIG_DFL
    assert signal.getsignal(signal.SIGHUP) is signal.SIG_IGN
    os.kill(os.getpid(), signal.SIGINT)
    assert await holding is None


@pytest.mark.usefixtures("heeded")
async def test_a_second_signal_does_not_wait(child: Make, tmp_path: Path) -> None:
    events: list[Event] = []
    supervisor = Supervisor(tmp_path, events.append)
    process = child("deaf", does="deaf")
    await supervisor.open()
    await supervisor.start(process)
    holding = asyncio.create_task(Running(supervisor).hold())
    await asyncio.sleep(0)
    os.kill(os.getpid(), signal.SIGINT)
    await eventually(lambda: events[-1] == Stopping("deaf"))
    os.kill(os.getpid(), signal.SIGINT)
    async with asyncio.timeout(5):
        await holding
    assert process.exit_status == -signal.SIGKILL
