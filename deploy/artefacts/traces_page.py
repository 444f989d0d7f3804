"""The tables of the reference of traces; the page around them is written by hand."""

from __future__ import annotations

import re
from pathlib import Path

from folkmoot.core.tracing.schema import ATTRIBUTES, MOMENTS, SPANS

PAGE = "docs/reference/tracing.md"
_ROOT = Path(__file__).resolve().parents[2]
_PLACE = re.compile(r"(?<=<!-- made from the schema -->\n).*(?=<!-- up to here -->)", re.DOTALL)


def files() -> dict[str, str]:
    """Return the page."""
    return {PAGE: _PLACE.sub(lambda _: _tables(), (_ROOT / PAGE).read_text())}


def _tables() -> str:
    lines = [
        "",
        "| span | told by | kind | child of | what it is |",
        "| --- | --- | --- | --- | --- |",
    ]
    for span in SPANS.values():
        name = f"`{span.word} {span.names.upper()}`" if span.names else f"`{span.word}`"
        lines.append(f"| {name} | {span.of} | {span.kind} | {span.child_of} | {span.meaning} |")
    lines += ["", "| attribute | of | meaning |", "| --- | --- | --- |"]
    for attribute, meaning in ATTRIBUTES.items():
        of = ", ".join(s.word for s in SPANS.values() if attribute in s.attributes)
        lines.append(f"| `{attribute}` | {of or 'links'} | {meaning} |")
    lines += ["", "| event | of | meaning |", "| --- | --- | --- |"]
    for moment, meaning in MOMENTS.items():
        of = ", ".join(s.word for s in SPANS.values() if moment in s.moments)
        lines.append(f"| `{moment}` | {of} | {meaning} |")
    return "\n".join([*lines, "", ""])
