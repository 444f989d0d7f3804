"""What traces may say is declared once, and said by those names only."""

from __future__ import annotations

import ast
from pathlib import Path

from folkmoot.core.tracing import Span, schema, undeclared
from folkmoot.core.tracing.schema import ATTRIBUTES, MOMENTS, SPANS

ROOT = Path(__file__).resolve().parents[2]


def test_every_attribute_has_a_name_and_a_meaning() -> None:
    named = {
        value
        for name, value in vars(schema).items()
        if name.isupper() and isinstance(value, str) and not name.startswith("_")
    }
    used = set().union(*(span.attributes for span in SPANS.values())) | schema.LINK_ATTRIBUTES
    assert named == set(ATTRIBUTES) == used
    assert set(MOMENTS) == set().union(*(span.moments for span in SPANS.values()))


def test_attributes_are_named_in_the_schema_only() -> None:
    """A span's attributes are written with the schema's names, never as text."""
    places = [*ROOT.glob("libs/core/src/folkmoot/core/tracing/*.py")]
    places += ROOT.glob("services/*/src/folkmoot/*/tracing.py")
    for place in places:
        if place.name == "schema.py":
            continue
        texts = {
            n.value for n in ast.walk(ast.parse(place.read_text())) if isinstance(n, ast.Constant)
        }
        assert texts & ATTRIBUTES.keys() == set(), place


def test_what_is_not_declared_is_noticed() -> None:
    def span(name: str, **attributes: str) -> Span:
        return Span(name, 1, 2, 3, 0, 0, attributes=attributes)

    assert undeclared(span("paused")) == []
    assert undeclared(span("lunch")) == ["no span 'lunch' is declared"]
    assert undeclared(span("paused for lunch")) == ["no span 'paused for lunch' is declared"]
    assert undeclared(span("paused", menu="soup")) == ["paused has no menu"]
    assert undeclared(span("plan")) == ["plan is producer, not internal"]
