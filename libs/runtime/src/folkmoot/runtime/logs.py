"""What a process logs: sentences for people, or a line of JSON for each message, for programs.

A line of JSON says which saga and step it is about, and in which span it was written, where that is
known. Messages name ids, counts and reasons; what tasks, steps and results hold is never logged.
"""

from __future__ import annotations

import logging
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import TextIO

import orjson
from opentelemetry import trace

from folkmoot.contracts.envelope import timestamp

PLAIN = "%(asctime)s %(levelname)-7s %(name)s: %(message)s"

_work: ContextVar[tuple[str, str] | None] = ContextVar("folkmoot_work", default=None)


@contextmanager
def working_on(saga_id: str, step_id: str) -> Iterator[None]:
    """Let what is logged meanwhile say that it is about this step."""
    token = _work.set((saga_id, step_id))
    try:
        yield
    finally:
        _work.reset(token)


class JsonLines(logging.Formatter):
    """A log record as a line of JSON."""

    def format(self, record: logging.LogRecord) -> str:
        """Return the line, without its break."""
        line: dict[str, object] = {
            "time": timestamp(round(record.created * 1000)),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": record.getMessage(),
        }
        if (work := _work.get()) is not None:
            line["saga_id"], line["step_id"] = work
        span = trace.get_current_span().get_span_context()
        if span.is_valid:
            line["trace_id"], line["span_id"] = f"{span.trace_id:032x}", f"{span.span_id:016x}"
        if record.exc_info:
            line["exception"] = self.formatException(record.exc_info)
        return orjson.dumps(line, default=str).decode()


def formatter(log_format: str, stream: TextIO) -> logging.Formatter:
    """Return how log records are written: `plain`, `json`, or `auto`, by what `stream` is."""
    plain = log_format == "plain" or (log_format == "auto" and stream.isatty())
    return logging.Formatter(PLAIN) if plain else JsonLines()


def set_up(level: str, log_format: str) -> None:
    """Write what this process logs to its standard error."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(formatter(log_format, sys.stderr))
    logging.basicConfig(level=level.upper(), handlers=[handler])
    logging.getLogger("aiokafka").setLevel(logging.ERROR)
