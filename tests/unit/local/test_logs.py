from __future__ import annotations

import asyncio
from pathlib import Path

from rich.console import Console

from folkmoot.local import logs
from folkmoot.local.logs import LogLine, Prefixer, follow


def write(path: Path, text: str) -> None:
    with path.open("a") as file:
        file.write(text)


async def test_lines_are_followed_across_files_and_runs(tmp_path: Path) -> None:
    kafka, worker = tmp_path / "kafka.log", tmp_path / "worker.log"
    write(kafka, "of before\n")
    following = follow({"kafka": kafka, "worker": worker})

    async def following_line() -> LogLine:
        async with asyncio.timeout(10):
            return await anext(following)

    write(worker, "hello\nhalf a li")
    assert await following_line() == LogLine("worker", "hello")
    write(worker, "ne\n")
    assert await following_line() == LogLine("worker", "half a line")
    write(kafka, "now\n")
    assert await following_line() == LogLine("kafka", "now")
    with logs.open_new(kafka) as file:
        file.write(b"a new run\n")
    assert await following_line() == LogLine("kafka", "a new run")
    await following.aclose()


async def test_a_log_can_be_followed_from_its_start(tmp_path: Path) -> None:
    log = tmp_path / "a.log"
    write(log, "one\ntwo\n")
    following = follow({"a": log}, from_start=True)
    assert [(await anext(following)).text for _ in range(2)] == ["one", "two"]
    await following.aclose()


async def test_a_line_without_end_is_shown_in_pieces(tmp_path: Path) -> None:
    log = tmp_path / "a.log"
    write(log, "x" * (logs.TAIL_BYTES + 10) + "\n")
    following = follow({"a": log}, from_start=True)
    pieces = [(await anext(following)).text for _ in range(2)]
    assert list(map(len, pieces)) == [logs.TAIL_BYTES, 10]
    await following.aclose()


def test_the_last_lines_of_a_long_log_are_its_last(tmp_path: Path) -> None:
    log = tmp_path / "a.log"
    write(log, "".join(f"line {i}\n" for i in range(50_000)))
    assert logs.last_lines(log, 2) == ("line 49998", "line 49999")
    assert logs.last_lines(tmp_path / "none.log") == ()


def test_a_line_is_prefixed_in_its_colour_and_its_markup_left_alone() -> None:
    draw = Prefixer(("kafka", "agent-worker"))
    console = Console(width=80, force_terminal=True, color_system="standard")
    with console.capture() as shown:
        console.print(draw(LogLine("kafka", "[red]not markup[/red]")))
        console.print(draw(LogLine("agent-worker", "ok")))
    first, second = shown.get().splitlines()
    assert first == "\x1b[36mkafka        │ \x1b[0m[red]not markup[/red]"
    assert second.startswith("\x1b[35magent-worker │ ")
