"""The commands, as a user types them, after a demo and on a running platform."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from running import FOLKMOOT, demo, environment

COMMANDS = (
    "demo", "up", "down", "status", "service", "worker", "submit", "sagas", "sagas ls",
    "sagas show", "sagas watch", "sagas explain", "sagas history", "sagas state", "sagas result",
    "sagas fork", "sagas replay",
    "events", "events read", "events ls", "leaders", "team", "breakers", "knowledge",
    "knowledge show", "doctor", "topics create",
)  # fmt: skip


def folkmoot(folder: Path, *arguments: str, **settings: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [*FOLKMOOT, *arguments],
        cwd=folder,
        env=environment(COLUMNS="120", **settings),
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def told(folder: Path, *arguments: str) -> Any:
    ran = folkmoot(folder, *arguments, "--json")
    assert (ran.returncode, ran.stderr) == (0, ""), ran
    return json.loads(ran.stdout)


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_explains_itself(tmp_path: Path, command: str) -> None:
    ran = folkmoot(tmp_path, *command.split(), "--help")
    assert ran.returncode == 0
    assert len(ran.stdout.splitlines()) > 8


@pytest.fixture(scope="module")
def after_a_demo(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str]:
    folder = tmp_path_factory.mktemp("demo")
    run = demo(folder)
    assert run.status == 0
    return folder, run.saga_id


def test_what_happened_can_be_looked_at_after_the_demo(after_a_demo: tuple[Path, str]) -> None:
    folder, saga_id = after_a_demo
    (saga,) = told(folder, "sagas", "ls")["sagas"]
    assert (saga["saga_id"], saga["state"]) == (saga_id, "completed")
    shown = told(folder, "sagas", "show", saga_id)
    assert {step["state"] for step in shown["steps"]} == {"succeeded"}
    assert all(step["ended_at"] >= step["began_at"] for step in shown["steps"])
    said = told(folder, "sagas", "explain", saga_id)["explanation"]
    assert said.startswith("It completed")
    assert shown["explanation"] == said
    assert told(folder, "sagas", "ls", "--state", "running")["sagas"] == []
    assert told(folder, "sagas", "ls", "--older-than", "1d", "--team", "dossier")["sagas"] == []
    assert told(folder, "sagas", "result", saga_id)["state"] == "completed"
    assert told(folder, "sagas", "state", saga_id, "--at", "1")["state"] == "planning"
    events = told(folder, "events", "read", f"saga-{saga_id}")
    assert told(folder, "sagas", "history", saga_id) == events
    assert [event["version"] for event in events] == list(range(1, len(events) + 1))
    assert events[0]["event"]["type"] == "folkmoot.saga-opened.v1"
    assert events[-1]["event"]["type"] == "folkmoot.saga-completed.v1"
    past = told(folder, "events", "read", f"saga-{saga_id}", "--at", "3")
    assert past == events[:3]
    streams = {each["stream"] for each in told(folder, "events", "ls")}
    assert {f"saga-{saga_id}", "team-dossier"} <= streams
    (team,) = told(folder, "leaders")
    assert team["team"] == "dossier"
    shown = told(folder, "leaders", "dossier")
    assert shown["epoch"] == team["epoch"]
    led = [e for e in told(folder, "leaders", "dossier", "--history") if "leader" in str(e)]
    assert led[0]["event"]["data"]["reason"] == "first-member"
    assert {b["agent"] for b in told(folder, "breakers")} >= {"researcher", "writer"}
    assert told(folder, "knowledge", "show", "pages-read") > 0
    assert {"facts", "pages-read", "bytes-read"} <= set(told(folder, "knowledge", "show"))


@pytest.mark.parametrize(
    "arguments",
    [
        ("sagas", "ls"),
        ("sagas", "ls", "--limit", "1"),
        ("leaders",),
        ("leaders", "dossier"),
        ("leaders", "dossier", "--history"),
        ("breakers",),
        ("knowledge", "show"),
    ],
    ids=" ".join,
)
def test_people_get_tables(after_a_demo: tuple[Path, str], arguments: tuple[str, ...]) -> None:
    ran = folkmoot(after_a_demo[0], *arguments)
    assert (ran.returncode, ran.stderr) == (0, "")
    assert len(ran.stdout.splitlines()) >= 3


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (("sagas", "ls"), "no Folkmoot is to be found here"),
        (("sagas", "ls", "--older-than", "soon"), "write 90s, 5m, 2h or 1d"),
        (("sagas", "ls", "--after", "soon"), "take what the page before says"),
        (("sagas", "ls", "--bus", "nonsense"), "none of the known forms"),
        (("sagas", "ls", "--bus", "embedded:gone.db"), "there is no file gone.db"),
        (("sagas", "ls", "--bus", "kafka://127.0.0.1:1?nats=nats://127.0.0.1:1"), "answers at"),
        (("demo", "--kill", "everybody"), "--kill is leader or worker"),
        (("worker", "no.such.module:app"), "cannot import"),
        (("worker", "json:dumps"), "no Agent"),
        (("worker", "json"), "write MODULE:NAME"),
        (("service", "nonsense"), "is none of"),
        (("submit", "team", "{not json"), "not JSON"),
        (("submit", "team", "--priority", "urgent"), "none of: high, normal, low"),
        (("sagas", "fork", "s", "--at", "1", "--patch", "gone.json"), "cannot read the patch"),
        (("sagas", "history", "s", "--at", "1", "--work"), "--work goes without --at"),
        (("leaders", "--history"), "goes with a TEAM"),
        (("leaders", "news", "--history", "--watch"), "without --watch"),
        (("team", "news", "--policy", "random"), "none of: sticky, priority, preferred"),
        (("team", "news", "--label", "zone"), "write NAME=VALUE"),
    ],
)
def test_a_mistake_gets_a_sentence(
    tmp_path: Path, arguments: tuple[str, ...], sentence: str
) -> None:
    ran = folkmoot(tmp_path, *arguments)
    assert ran.returncode in (1, 2)
    assert sentence in " ".join(ran.stderr.split())
    assert "Traceback" not in ran.stderr


def test_a_corrupt_file_is_named_and_left_alone(tmp_path: Path) -> None:
    file = tmp_path / ".folkmoot" / "demo.db"
    file.parent.mkdir()
    file.write_bytes(b"this is no database " * 500)
    before = file.read_bytes()
    ran = folkmoot(tmp_path, "sagas", "ls")
    assert ran.returncode == 1
    assert str(file.name) in ran.stderr
    assert "Traceback" not in ran.stderr
    assert file.read_bytes() == before


def test_an_unknown_saga_and_stream_say_where_to_look(after_a_demo: tuple[Path, str]) -> None:
    folder, _ = after_a_demo
    for arguments in (("sagas", "show", "nope"), ("events", "read", "saga-nope")):
        ran = folkmoot(folder, *arguments)
        assert ran.returncode == 1
        assert "lists" in ran.stderr


# -- up, status, down -------------------------------------------------------------------------


def free_ports(count: int) -> list[int]:
    sockets = [socket.create_server(("127.0.0.1", 0)) for _ in range(count)]
    ports = [each.getsockname()[1] for each in sockets]
    for each in sockets:
        each.close()
    return ports


def free_range(count: int) -> int:
    """Return the first of `count` free ports in a row, where no connection takes one by itself."""
    for first in range(20_000 + os.getpid() % 10_000, 32_000, count):
        sockets = []
        try:
            for port in range(first, first + count):
                sockets.append(socket.create_server(("127.0.0.1", port)))
        except OSError:
            continue
        else:
            return first
        finally:
            for each in sockets:
                each.close()
    raise AssertionError(f"there are no {count} free ports in a row")


@pytest.fixture(scope="module")
def up(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    folder = tmp_path_factory.mktemp("up")
    kafka, nats = free_ports(2)
    http = free_range(8)
    ports = ("--kafka-port", str(kafka), "--nats-port", str(nats), "--http-port", str(http))
    worker = ("--worker", "folkmoot.dossier.agents:agents")
    child = subprocess.Popen(
        [*FOLKMOOT, "up", *ports, *worker],
        cwd=folder,
        env=environment(PYTHONUNBUFFERED="1"),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    with child:
        assert child.stdout is not None
        printed = []
        for line in child.stdout:
            printed.append(line)
            if line.startswith("bus:"):
                break
        else:
            raise AssertionError("".join(printed))
        yield folder
        if child.poll() is None:
            child.send_signal(signal.SIGINT)
        rest, _ = child.communicate(timeout=60)
        assert child.returncode == 0, rest


@pytest.mark.kafka
def test_up_runs_everything_and_status_says_so(up: Path) -> None:
    processes = {each["name"]: each for each in told(up, "status")}
    assert set(processes) == {
        "kafka", "nats", "election", "event-store", "saga-orchestrator", "breaker-proxy",
        "member-1",
    }  # fmt: skip
    assert {each["phase"] for each in processes.values()} == {"ready"}


@pytest.mark.kafka
def test_a_task_can_be_submitted_and_waited_for(up: Path) -> None:
    body = json.dumps({"out": str(up / "report")})
    ran = folkmoot(up, "submit", "dossier", body, "--key", "one")
    assert (ran.returncode, ran.stderr) == (0, "")
    assert json.loads(ran.stdout)["packages"] > 20
    failing = json.dumps({"out": str(up / "failing"), "fail": "verify"})
    ran = folkmoot(up, "submit", "dossier", failing)
    assert ran.returncode == 3
    assert len(told(up, "sagas", "ls")["sagas"]) == 2
    assert told(up, "leaders")[0]["leader"] is not None


@pytest.mark.kafka
def test_a_team_is_told_whom_it_wants_and_the_change_can_be_watched(up: Path) -> None:
    node = told(up, "leaders", "dossier")["members"][0]["node"]
    with subprocess.Popen(
        [*FOLKMOOT, "leaders", "dossier", "--watch", "--json"],
        cwd=up,
        env=environment(PYTHONUNBUFFERED="1"),
        stdout=subprocess.PIPE,
        text=True,
    ) as watching:
        assert watching.stdout is not None
        first = json.loads(watching.stdout.readline())
        ran = folkmoot(up, "team", "dossier", "--policy", "preferred", "--prefer", node)
        assert (ran.returncode, ran.stderr) == (0, ""), ran
        assert f"policy preferred; prefers {node}" in ran.stdout
        second = json.loads(watching.stdout.readline())
        assert second["revision"] > first["revision"]
        assert second["epoch"] == first["epoch"]
        watching.send_signal(signal.SIGINT)
    assert watching.returncode == 0
    assert told(up, "leaders", "dossier")["rules"]["policy"] == "preferred"
    ran = folkmoot(up, "team", "no-such-team")
    assert ran.returncode == 1
    assert "unknown-team: nobody ever joined" in ran.stderr


@pytest.mark.kafka
def test_every_service_serves_health_and_metrics(up: Path) -> None:
    services = [p for p in told(up, "status") if p["name"] not in ("kafka", "nats")]
    for process in services:
        assert fetch(process["address"], "/health/live") == '{"live":true}'
        ready = json.loads(fetch(process["address"], "/health/ready"))
        assert ready["ready"], ready
        assert all(shard["role"] in ("leading", "following") for shard in ready["shards"])
        metrics = fetch(process["address"], "/metrics")
        assert f'folkmoot_role{{role="leading",service="{process["name"].split("-1")[0]}"' in (
            metrics
        ) or ('folkmoot_role{role="leading",service="agent-worker"' in metrics)


def fetch(address: str, path: str) -> str:
    with urllib.request.urlopen(f"http://{address}{path}", timeout=5) as answer:
        return str(answer.read().decode())


@pytest.mark.kafka
def test_a_second_up_in_the_same_place_is_refused(up: Path) -> None:
    ran = folkmoot(up, "up")
    assert ran.returncode == 1
    assert "folkmoot down" in ran.stderr


@pytest.mark.kafka
def test_the_doctor_finds_nothing_wrong_with_what_runs(up: Path) -> None:
    findings = {each["name"]: each for each in told(up, "doctor")}
    assert findings["topics"]["ok"], findings["topics"]
    assert all(each["ok"] for each in findings.values())


def test_a_taken_port_is_named(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        ran = folkmoot(tmp_path, "up", "--nats-port", str(port))
    assert ran.returncode == 1
    assert str(port) in ran.stderr


def test_down_where_nothing_runs_says_so(tmp_path: Path) -> None:
    ran = folkmoot(tmp_path, "down")
    assert ran.returncode == 0
    assert "nothing was running" in ran.stdout


def test_ctrl_c_of_a_demo_says_how_to_go_on(tmp_path: Path) -> None:
    child = subprocess.Popen(
        [sys.executable, "-m", "folkmoot.cli", "demo", "--kill", "worker"],
        cwd=tmp_path,
        env=environment(PYTHONUNBUFFERED="1"),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    deadline = time.monotonic() + 30
    while not (tmp_path / ".folkmoot" / "demo.db").exists() and time.monotonic() < deadline:
        time.sleep(0.02)
    time.sleep(0.3)
    os.kill(child.pid, signal.SIGINT)
    printed, complaints = child.communicate(timeout=30)
    assert child.returncode == 1
    assert "folkmoot demo --resume" in printed
    assert "Traceback" not in complaints
