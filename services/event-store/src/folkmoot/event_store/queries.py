"""Answers questions about streams: JSON values in, JSON values out.

A request is `{"op": ...}`, an answer `{"ok": ...}` or `{"error": {"kind", "detail"}}`:

| op | fields | answer |
| --- | --- | --- |
| `read` | `stream`, `from_version`, `limit`, `backwards` | `version`, `events`, `next_version` |
| `read-at` | `stream`, `version`, `from_version`, `limit` | the same, as it was at `version` |
| `streams` | `prefix`, `limit`, `after` | `streams`, `next_after` |
| `version` | `stream` | `version`, 0 if there is no such stream |
| `append-status` | `stream`, `request_id` | the append's answer |

`next_version` and `next_after` are where the next page begins, null at the end. An answer was true
of the logs up to the offsets in `as_of`. A request with `at_least`, which has a `partition` and an
`offset` of the store's own log as an append's answer does, gets `behind` until that was read.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import asdict
from typing import Annotated, Any, Literal

import orjson
from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, ValidationError

from folkmoot.event_store.index import Index
from folkmoot.event_store.placing import OWN_LOG
from folkmoot.event_store.reading import EVENTS_MAX, Indexed, Page, StreamHead
from folkmoot.runtime.service import QueryError

Json = dict[str, Any]
Name = Annotated[str, Field(min_length=1, max_length=500)]
Version = Annotated[int, Field(ge=0, lt=1 << 32)]
Limit = Annotated[int, Field(ge=1, le=EVENTS_MAX)]
LIMIT_DEFAULT = 100

EVENT_ANSWER_BYTES_MAX = 960 * 1024
"""JSON text of an event that fits an answer of 1 MiB, NATS's default, with what is around it."""


class LogPosition(BaseModel):
    """A place in the event store's own log, as an append's answer names it."""

    partition: int
    offset: int


class _Question(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)

    at_least: LogPosition | None = None


class Read(_Question):
    """Events of a stream, forwards or backwards."""

    op: Literal["read"]
    stream: Name
    from_version: Version | None = None
    limit: Limit = LIMIT_DEFAULT
    backwards: bool = False


class ReadAt(_Question):
    """The history of a stream as it was at a version."""

    op: Literal["read-at"]
    stream: Name
    version: Version
    from_version: Version = 1
    limit: Limit = LIMIT_DEFAULT


class Streams(_Question):
    """The names and versions of streams."""

    op: Literal["streams"]
    prefix: Annotated[str, Field(max_length=500)] = ""
    limit: Limit = LIMIT_DEFAULT
    after: Annotated[str, Field(max_length=500)] = ""


class VersionOf(_Question):
    """How many events a stream has."""

    op: Literal["version"]
    stream: Name


class AppendStatusOf(_Question):
    """What became of a request to append."""

    op: Literal["append-status"]
    stream: Name
    request_id: Name


Question = Read | ReadAt | Streams | VersionOf | AppendStatusOf
_QUESTION: TypeAdapter[Question] = TypeAdapter(Annotated[Question, Field(discriminator="op")])


async def answer(index: Index, request: Mapping[str, Any]) -> Json:
    """Answer a request. Never raises for what is in the request, nor for an index in trouble."""
    return await asyncio.to_thread(_answer, index, request)


def _answer(index: Index, request: Mapping[str, Any]) -> Json:
    try:
        return {"ok": _answered(index, _QUESTION.validate_python(request))}
    except ValidationError as error:
        return _error("invalid-query", _first_problem(error))
    except QueryError as error:
        return _error(error.kind, error.detail)


def _error(kind: str, detail: str) -> Json:
    return {"error": {"kind": kind, "detail": detail}}


def _first_problem(error: ValidationError) -> str:
    problem = error.errors(include_url=False, include_input=False)[0]
    place = ".".join(str(part) for part in problem["loc"]) or "the query"
    return f"{place}: {problem['msg']}"


def _answered(index: Index, question: Question) -> Json:
    if question.at_least is not None:
        _check_fresh(index, question.at_least)
    match question:
        case Read():
            from_version, limit = question.from_version, question.limit
            return _page(
                index.read(question.stream, from_version, limit, backwards=question.backwards)
            )
        case ReadAt():
            return _page(
                index.read_at(
                    question.stream, question.version, question.from_version, question.limit
                )
            )
        case Streams():
            return _streams(index, question)
        case VersionOf():
            return _version(index, question.stream)
        case AppendStatusOf():
            return _append_status(index, question)


def _check_fresh(index: Index, wanted: LogPosition) -> None:
    next_offset = index.positions().get((OWN_LOG, wanted.partition), 0)
    if next_offset <= wanted.offset:
        raise QueryError(
            "behind",
            f"offset {wanted.offset} of {OWN_LOG}/{wanted.partition} was not read yet, the next is "
            f"{next_offset}: ask again in a moment",
        )


def _page(page: Page) -> Json:
    head = page.head
    return {
        "stream": head.name,
        "version": head.version,
        "events": [_event(head, event) for event in page.events],
        "next_version": page.next_version,
        "as_of": _as_of(head),
    }


def _event(head: StreamHead, indexed: Indexed) -> Json:
    size = len(indexed.event.encode())
    if size > EVENT_ANSWER_BYTES_MAX:
        raise QueryError(
            "event-too-large",
            f"version {indexed.version} of {head.name!r} has {size:,} bytes, more than an answer "
            f"holds: read it from {head.topic}, partition {head.partition}, offset "
            f"{indexed.offset}, and go on beyond it",
        )
    return {
        "version": indexed.version,
        "offset": indexed.offset,
        "at": indexed.at,
        "event": orjson.loads(indexed.event),
    }


def _streams(index: Index, question: Streams) -> Json:
    as_of = _all_as_of(index)
    heads = index.streams(question.prefix, question.limit, question.after)
    return {
        "streams": [
            {"stream": head.name, "version": head.version, "at": head.at} for head in heads
        ],
        "next_after": heads[-1].name if len(heads) == question.limit else None,
        "as_of": as_of,
    }


def _version(index: Index, stream: str) -> Json:
    as_of = _all_as_of(index)
    head = index.head(stream)
    if head is None:
        return {"stream": stream, "version": 0, "as_of": as_of}
    return {"stream": stream, "version": head.version, "as_of": _as_of(head)}


def _append_status(index: Index, question: AppendStatusOf) -> Json:
    as_of = _all_as_of(index)
    found = index.append_status(question.stream, question.request_id)
    if found is None:
        raise QueryError(
            "unknown-request",
            f"no request {question.request_id!r} to append to {question.stream!r} is known: it "
            "was not decided yet, was refused (see the dead letters), or is long ago",
        )
    own = {log: offset for log, offset in as_of.items() if log.startswith(f"{OWN_LOG}/")}
    return {**asdict(found), "as_of": own}


def _as_of(head: StreamHead) -> Mapping[str, int]:
    return {f"{head.topic}/{head.partition}": head.next_offset}


def _all_as_of(index: Index) -> Mapping[str, int]:
    return {f"{topic}/{part}": offset for (topic, part), offset in index.positions().items()}
