"""Reads PromQL: the selectors of a query, held against the metrics that are declared."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import promql_parser

from folkmoot.contracts.metrics import SAMPLES

OF_PROMETHEUS = {"up": {"job", "instance"}}
ADDED_BY_SCRAPING = {"job", "instance"}


@dataclass(frozen=True, slots=True)
class Selector:
    """One series selector: a metric's name, and the labels that it is chosen by."""

    name: str
    labels: frozenset[str]


def filled_in(query: str) -> str:
    """Return a query as Grafana sends it when everything is chosen."""
    return re.sub(r"\$(service|team|agent)\b", ".*", query.replace("$__rate_interval", "1m"))


def selectors(query: str) -> list[Selector]:
    """Return the selectors of a query.

    Raises:
        ValueError: it is no PromQL.
    """
    return list(_walk(promql_parser.parse(query)))


def problems(query: str) -> list[str]:
    """Return what is wrong with a query: metrics and labels that nobody tells."""
    found = []
    for selector in selectors(query):
        known = _labels(selector.name)
        if known is None:
            found.append(f"nobody tells {selector.name}")
        else:
            found += [f"{selector.name} has no {label}" for label in selector.labels - known]
    return found


def _labels(name: str) -> set[str] | None:
    if name in OF_PROMETHEUS:
        return OF_PROMETHEUS[name]
    if name not in SAMPLES:
        return None
    bucket = {"le"} if name.endswith("_bucket") else set()
    return {*SAMPLES[name].labels, *ADDED_BY_SCRAPING} | bucket


def _walk(node: Any) -> Iterator[Selector]:
    if isinstance(node, promql_parser.VectorSelector):
        labels = frozenset(matcher.name for matcher in node.matchers.matchers)
        yield Selector(node.name or "", labels - {"__name__"})
        return
    for attribute in ("vector_selector", "lhs", "rhs", "expr", "param"):
        if getattr(node, attribute, None) is not None:
            yield from _walk(getattr(node, attribute))
    for argument in getattr(node, "args", ()):
        yield from _walk(argument)
