"""The tables of docs/reference/tracing.md: `python -m tests.tidy.trace_tables` writes them anew."""

from __future__ import annotations

import re
from pathlib import Path

from folkmoot.core.tracing.schema import ATTRIBUTES, MOMENTS, SPANS

PAGE = Path(__file__).resolve().parents[2] / "docs" / "reference" / "tracing.md"
_PLACE = re.compile(r"(?<=<!-- made from the schema -->\n).*(?=<!-- up to here -->)", re.DOTALL)


def tables() -> str:
    """Return the tables of all spans, attributes and events, as Markdown."""
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


def page() -> str:
    """Return the page as it should be."""
    return _PLACE.sub(lambda _: tables(), PAGE.read_text())


if __name__ == "__main__":
    PAGE.write_text(page())
