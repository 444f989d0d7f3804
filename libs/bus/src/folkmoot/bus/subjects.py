"""NATS's subjects: tokens between dots; `*` stands for one token, a last `>` for the rest."""

from __future__ import annotations

import re

from folkmoot.bus.ports import BusError

SUBJECT = re.compile(r"[^\s.*>]+(\.[^\s.*>]+)*")
PATTERN = re.compile(r"(([^\s.*>]+|\*)\.)*([^\s.*>]+|\*|>)")


def check_subject(subject: str) -> None:
    """Raise `BusError` unless a message can be sent to `subject`."""
    if SUBJECT.fullmatch(subject) is None:
        raise BusError(
            f"Subject {subject!r} is not legal. Write tokens between dots, without spaces, '*' "
            "or '>'."
        )


def check_pattern(pattern: str) -> None:
    """Raise `BusError` unless `pattern` can be subscribed to."""
    if PATTERN.fullmatch(pattern) is None:
        raise BusError(
            f"Subject {pattern!r} is not legal. Write tokens between dots, without spaces; '*' "
            "stands for one whole token, '>' for all that follow."
        )


def matches(pattern: str, subject: str) -> bool:
    """Return whether a subscription to `pattern` receives messages for `subject`."""
    wanted, tokens = pattern.split("."), subject.split(".")
    if wanted[-1] == ">":
        head = len(wanted) - 1
        return len(tokens) > head and _same(wanted[:head], tokens[:head])
    return len(wanted) == len(tokens) and _same(wanted, tokens)


def _same(wanted: list[str], tokens: list[str]) -> bool:
    return all(want in ("*", token) for want, token in zip(wanted, tokens, strict=True))
