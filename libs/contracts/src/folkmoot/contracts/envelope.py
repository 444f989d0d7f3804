"""The envelope of every message: CloudEvents 1.0 in structured JSON, checked as it is read.

A message is decoded once, from bytes to typed data, by a validator compiled for its type. The type
is taken from the `ce_type` header where there is one, so that nothing is parsed to find out how to
parse it; a plain producer may leave the header out.

`origin` and `mark` (extension headers, written by shards only) say which decision a message comes
from, for exactly-once receipt. An outsider's message has neither.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields, is_dataclass, replace
from datetime import UTC, datetime
from functools import cache, lru_cache
from hashlib import blake2b
from typing import Annotated, Any, Generic, Literal, TypeVar

import orjson
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from folkmoot.core.kernel import EXCERPT_BYTES_MAX, Mark, Undecodable
from folkmoot.core.messages import Task
from folkmoot.core.names import wire_name

CONTENT_TYPE = b"application/cloudevents+json"
MESSAGE_BYTES_MAX = 512 * 1024
"""The largest message that is sent or taken: half of what a log record may hold, because a decision
repeats the message that it decides."""

DETAIL_CHARS_MAX = 500
"""Of what a dead letter says or quotes of a bad message in words; its excerpt shows the rest."""

D = TypeVar("D")
Headers = tuple[tuple[str, bytes], ...]
NonEmpty = Annotated[str, Field(min_length=1)]


class Envelope(BaseModel, Generic[D]):
    """A CloudEvent whose `data` is a `D`. Unknown attributes are allowed, as the standard says."""

    model_config = ConfigDict(frozen=True, extra="ignore", hide_input_in_errors=True)

    specversion: Literal["1.0"]
    id: NonEmpty
    source: NonEmpty
    type: NonEmpty
    data: D
    traceparent: str | None = None


@dataclass(frozen=True, slots=True)
class Decoded:
    """A message as a machine takes it, and where it came from."""

    message: object
    origin: str | None = None
    mark: Mark | None = None


class TooLarge(ValueError):
    """A message is over the limit. It was not sent."""


def saga_id_of(source: str, event_id: str) -> str:
    """Return the saga of a task: the same source and id always mean the same saga."""
    return blake2b(f"{source}\n{event_id}".encode(), digest_size=10).hexdigest()


@lru_cache(maxsize=512)
def _validator(cls: type) -> Callable[[bytes], Envelope[Any]]:
    return Envelope[cls].model_validate_json  # type: ignore[valid-type]


def prepare(types: Mapping[str, type]) -> None:
    """Compile what reads messages of `types`; else the first of each takes milliseconds more."""
    for cls in types.values():
        _validator(cls)


@lru_cache(maxsize=64)  # the records of a batch, and of what follows, are of one moment
def timestamp(at: int) -> str:
    """Return milliseconds since the epoch as RFC 3339."""
    return datetime.fromtimestamp(at / 1000, UTC).isoformat(timespec="milliseconds")


@cache
def _names(cls: type) -> tuple[str, ...] | None:
    return tuple(field.name for field in fields(cls)) if is_dataclass(cls) else None


def fields_of(data: object) -> object:
    """Return a dataclass's fields by name: orjson takes them several times as fast as itself."""
    cls: type = type(data)
    names = _names(cls)
    return data if names is None else {name: getattr(data, name) for name in names}


def encode_message(
    message: object, *, event_id: str, source: str, at: int, extra: Headers = ()
) -> tuple[bytes, Headers]:
    """Return the value and headers of a message.

    Raises:
        TooLarge: the encoded message is over `MESSAGE_BYTES_MAX`.
    """
    name = wire_name(type(message))
    body: dict[str, object] = {
        "specversion": "1.0",
        "id": event_id,
        "source": source,
        "type": name,
        "time": timestamp(at),
        "datacontenttype": "application/json",
        "data": fields_of(message),
    }
    traceparent = getattr(message, "traceparent", None)
    if traceparent is not None:
        body["traceparent"] = traceparent
    value = orjson.dumps(body)
    if len(value) > MESSAGE_BYTES_MAX:
        raise TooLarge(
            f"a {name} of {len(value):,} bytes is over the limit of {MESSAGE_BYTES_MAX:,}: "
            "keep large data elsewhere and send a reference"
        )
    headers = (
        ("content-type", CONTENT_TYPE),
        ("ce_type", name.encode()),
        ("ce_id", event_id.encode()),
        *extra,
    )
    return value, headers


def origin_headers(origin: str, mark: Mark) -> Headers:
    """Return the headers that make receipt exactly-once."""
    return (("origin", origin.encode()), ("mark", b"%d.%d" % mark))


def decode_message(value: bytes | None, headers: Headers, types: Mapping[str, type]) -> Decoded:
    """Return the message in a record, or `Undecodable` saying why it is none of `types`."""
    named = dict(headers)
    if value is None:
        return Decoded(Undecodable("empty", "the record has no value"))
    try:
        message = _decode(value, named, types)
        origin, mark = _origin(named)
    except _NotAMessage as problem:
        return Decoded(Undecodable(problem.reason, problem.detail, problem.type, excerpt(value)))
    return Decoded(message, origin, mark)


class _NotAMessage(Exception):
    def __init__(self, reason: str, detail: str, type_: str = "") -> None:
        self.reason = reason
        self.detail, self.type = detail[:DETAIL_CHARS_MAX], type_[:DETAIL_CHARS_MAX]


def _decode(value: bytes, headers: Mapping[str, bytes], types: Mapping[str, type]) -> object:
    if len(value) > MESSAGE_BYTES_MAX:
        detail = f"{len(value):,} bytes, the limit is {MESSAGE_BYTES_MAX:,}"
        raise _NotAMessage("too-large", detail)
    name = _type_of(value, headers)
    cls = types.get(name)
    if cls is None:
        known = ", ".join(sorted(types))
        raise _NotAMessage("unknown-type", f"type {name[:30]!r} is none of: {known}", name)
    try:
        envelope = _validator(cls)(value)
    except ValidationError as error:
        raise _NotAMessage("invalid", _first_problem(error), name) from None
    if envelope.type != name:
        detail = f"the ce_type header says {name!r}, the event says {envelope.type!r}"
        raise _NotAMessage("invalid", detail, name)
    if "origin" not in headers:
        _check_numbers(value, envelope.data, name)
    if isinstance(envelope.data, Task):
        return _with_identity(envelope.data, envelope)
    return envelope.data


def _check_numbers(value: bytes, data: object, name: str) -> None:
    """Refuse an outsider's numbers that JSON cannot carry on: NaN, infinity, over 64 bits."""
    try:
        orjson.loads(value)
        orjson.dumps(data)
    except (orjson.JSONDecodeError, TypeError) as error:
        raise _NotAMessage("invalid", f"a number is out of range: {error}", name) from None


def _type_of(value: bytes, headers: Mapping[str, bytes]) -> str:
    if "ce_type" not in headers:
        return _type_in(value)
    return headers["ce_type"].decode("utf-8", "replace")


def _type_in(value: bytes) -> str:
    try:
        body = orjson.loads(value)
    except orjson.JSONDecodeError as error:
        raise _NotAMessage("not-json", f"not JSON: {error}") from None
    name = body.get("type") if isinstance(body, dict) else None
    if not isinstance(name, str):
        detail = "not a CloudEvent: specversion, id, source, type and data are required"
        raise _NotAMessage("not-a-cloudevent", detail)
    return name


def _with_identity(task: Task, envelope: Envelope[Any]) -> Task:
    identity = saga_id_of(envelope.source, envelope.id)
    return replace(task, saga_id=identity, traceparent=envelope.traceparent or task.traceparent)


def _first_problem(error: ValidationError) -> str:
    problems = error.errors(include_url=False, include_context=False, include_input=False)
    first = problems[0]
    place = ".".join(str(part) for part in first["loc"]) or "the event"
    more = f" (and {len(problems) - 1} more)" if len(problems) > 1 else ""
    return f"{place}: {first['msg']}{more}"


def _origin(headers: Mapping[str, bytes]) -> tuple[str | None, Mark | None]:
    if "origin" not in headers:
        return None, None
    try:
        offset, ordinal = headers["mark"].split(b".")
        return headers["origin"].decode(), Mark(int(offset), int(ordinal))
    except (KeyError, ValueError):
        raise _NotAMessage("invalid", "the origin and mark headers do not fit") from None


def excerpt(value: bytes) -> str:
    """Return the beginning of a value, for a dead letter."""
    return value[:EXCERPT_BYTES_MAX].decode("utf-8", "replace")
