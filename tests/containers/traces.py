"""What Jaeger shows of a job: one trace, and a whole one, whatever was done to who wrote it."""

from __future__ import annotations

import json
import time
import urllib.error
import urllib.request
from collections.abc import Mapping, Sequence
from typing import Any

from folkmoot.core.tracing.context import saga_context
from tests.containers.platform import Platform

WHOLE_WITHIN_S, POLL_S = 30.0, 0.5

Span = Mapping[str, Any]


def see_one_trace(platform: Platform, saga_id: str) -> Sequence[Span]:
    """Return the spans of a saga's trace, as Jaeger answers, when it is whole.

    Raises:
        AssertionError: it has no root or more, or spans whose parent is not there.
    """
    trace = f"{saga_context(saga_id, None).trace_id:032x}"
    url = f"http://127.0.0.1:{platform.environment['JAEGER_PORT']}/api/traces/{trace}"
    until = time.monotonic() + WHOLE_WITHIN_S
    while problems := _problems(spans := _spans(url)):
        assert time.monotonic() < until, f"{url}: {problems}"
        time.sleep(POLL_S)
    return spans


def _spans(url: str) -> Sequence[Span]:
    try:
        with urllib.request.urlopen(url, timeout=10) as answer:
            found = json.loads(answer.read())["data"]
    except urllib.error.HTTPError:
        return ()
    return [span for trace in found for span in trace["spans"]]


def _problems(spans: Sequence[Span]) -> list[str]:
    known = {span["spanID"] for span in spans}
    roots = [span["operationName"] for span in spans if not _parents(span)]
    orphans = [
        span["operationName"] for span in spans if any(p not in known for p in _parents(span))
    ]
    problems = [f"{len(roots)} roots: {roots}"] if len(roots) != 1 else []
    return problems + [f"the parent of {name} is not there" for name in orphans]


def _parents(span: Span) -> list[str]:
    return [r["spanID"] for r in span["references"] if r["refType"] == "CHILD_OF"]
