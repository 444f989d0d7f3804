"""What replicas tell each other, as data and as JSON values.

| message | says | on a subject of |
| --- | --- | --- |
| `Delta` | a change, or what somebody lacked | its document |
| `Summary` | kind and fingerprint of the sender's documents | `_digest` |
| `Question` | to one replica: this is what I have of a document, tell me the rest | `_digest` |

Every message carries `version`; one of another version is not guessed at.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from folkmoot.core.crdt.causal import fields_of
from folkmoot.core.crdt.kinds import Crdt, from_json
from folkmoot.core.crdt.limits import MalformedState, check_id

VERSION = 1
DIGEST_SUBJECT = "_digest"

NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,99}")
"""Names of documents. They are tokens of subjects and parts of keys; `_` at the start is ours."""

FINGERPRINT = re.compile(r"[0-9a-f]{16}")


class InvalidName(ValueError):
    """A document cannot have this name."""


@dataclass(frozen=True, slots=True)
class Delta:
    """A part of a document."""

    document: str
    state: Crdt

    @property
    def subject(self) -> str:
        """The last token of the subject that it is told on."""
        return self.document


@dataclass(frozen=True, slots=True)
class Summary:
    """Kind and fingerprint of documents. Many documents take several summaries."""

    documents: Mapping[str, tuple[str, str]]
    subject = DIGEST_SUBJECT


@dataclass(frozen=True, slots=True)
class Question:
    """Asks `to` for what it knows of a document beyond `digest`; all, if the digest is None."""

    to: str
    document: str
    kind: str
    fingerprint: str
    digest: Any
    subject = DIGEST_SUBJECT


Message = Delta | Summary | Question


def check_name(document: Any) -> str:
    """Return `document` if it can be the name of one.

    Raises:
        InvalidName: it cannot.
    """
    if not isinstance(document, str) or not NAME.fullmatch(document):
        raise InvalidName(
            f"{document!r} cannot name a document: use 1 to 100 letters, digits, '-' and '_', "
            "beginning with a letter or digit"
        )
    return document


def encode(message: Message) -> dict[str, Any]:
    """Return a message as JSON values."""
    match message:
        case Delta(document, state):
            fields: dict[str, Any] = {"document": document, "state": state.to_json()}
            return {"version": VERSION, "type": "delta", **fields}
        case Summary(documents):
            listed = {name: [*each] for name, each in documents.items()}
            return {"version": VERSION, "type": "summary", "documents": listed}
        case Question(to, document, kind, fingerprint, digest):
            return {
                "version": VERSION,
                "type": "question",
                "to": to,
                "document": document,
                "kind": kind,
                "fingerprint": fingerprint,
                "digest": digest,
            }


def decode(value: Any) -> Message:
    """Return the message in JSON values.

    Raises:
        KindMismatch: it is of a document of a kind that is not known here.
        MalformedState: it is none, or of another version.
    """
    if not isinstance(value, dict):
        raise MalformedState("a message is an object")
    if value.get("version") != VERSION:
        raise MalformedState(f"a message has version {value.get('version')!r}, not {VERSION}")
    match value.get("type"):
        case "delta":
            fields = fields_of(value, {"version", "type", "document", "state"})
            return Delta(_name(fields["document"]), from_json(fields["state"]))
        case "summary":
            return Summary(_listed(fields_of(value, {"version", "type", "documents"})["documents"]))
        case "question":
            return _question(value)
    raise MalformedState(f"{value.get('type')!r} is no type of message")


def _question(value: dict[str, Any]) -> Question:
    names = {"version", "type", "to", "document", "kind", "fingerprint", "digest"}
    fields = fields_of(value, names)
    return Question(
        check_id(fields["to"], "replica"),
        _name(fields["document"]),
        check_id(fields["kind"], "kind"),
        _fingerprint(fields["fingerprint"]),
        fields["digest"],
    )


def _listed(value: Any) -> dict[str, tuple[str, str]]:
    if not isinstance(value, dict):
        raise MalformedState("a summary lists documents by name")
    listed = {}
    for name, each in value.items():
        if not isinstance(each, list) or len(each) != 2:
            raise MalformedState(f"{each!r} is no kind and fingerprint")
        kind, fingerprint = each
        listed[_name(name)] = check_id(kind, "kind"), _fingerprint(fingerprint)
    return listed


def _name(value: Any) -> str:
    try:
        return check_name(value)
    except InvalidName as error:
        raise MalformedState(str(error)) from error


def _fingerprint(value: Any) -> str:
    if not isinstance(value, str) or not FINGERPRINT.fullmatch(value):
        raise MalformedState(f"{value!r} is no fingerprint")
    return value
