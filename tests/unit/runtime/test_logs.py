"""What is logged is a sentence for people, or a line of JSON that says what it is about."""

from __future__ import annotations

import io
import json
import logging
import sys

import pytest

from folkmoot.runtime.logs import JsonLines, formatter, working_on
from folkmoot.runtime.propagation import within


def line(message: str, *args: object, failed: bool = False) -> dict[str, object]:
    info = sys.exc_info() if failed else None
    record = logging.LogRecord("folkmoot.x", logging.INFO, "", 1, message, args, info)
    text = JsonLines().format(record)
    assert "\n" not in text
    loaded: dict[str, object] = json.loads(text)
    return loaded


def test_a_line_has_what_was_said_and_when() -> None:
    said = line("%s leads", "m-1")
    assert (said["message"], said["level"], said["logger"]) == ("m-1 leads", "info", "folkmoot.x")
    assert str(said["time"]).endswith("+00:00")
    assert said.keys() == {"time", "level", "logger", "message"}


def test_a_line_names_the_step_and_the_span_that_it_is_written_in() -> None:
    with working_on("saga-1", "chop"), within(0xAB, 0xCD, sampled=True):
        said = line("begun")
    assert (said["saga_id"], said["step_id"]) == ("saga-1", "chop")
    assert (said["trace_id"], said["span_id"]) == (f"{0xAB:032x}", f"{0xCD:016x}")
    assert "saga_id" not in line("after it")


def test_a_line_has_the_exception() -> None:
    try:
        int("why")
    except ValueError:
        assert "ValueError: invalid" in str(line("it broke", failed=True)["exception"])


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


@pytest.mark.parametrize(
    ("log_format", "stream", "is_json"),
    [
        ("auto", Terminal(), False),
        ("auto", io.StringIO(), True),
        ("plain", io.StringIO(), False),
        ("json", Terminal(), True),
    ],
)
def test_people_read_sentences_and_programs_json(
    log_format: str, stream: io.StringIO, is_json: bool
) -> None:
    assert isinstance(formatter(log_format, stream), JsonLines) is is_json
