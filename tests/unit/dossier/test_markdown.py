"""The report as Markdown, word for word.

After a change that is meant, write `golden/dossier.md` anew from the failing test's left side, and
read the difference.
"""

from __future__ import annotations

import platform
import re
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from markdown_it import MarkdownIt

from folkmoot.dossier.markdown import escaped, references, render
from folkmoot.dossier.report import Report, compose
from tests.unit.dossier.environments import Environment
from tests.unit.dossier.samples import fill

GOLDEN = Path(__file__).parent / "golden" / "dossier.md"


@pytest.fixture
def report(environment: Environment, monkeypatch: pytest.MonkeyPatch) -> Report:
    monkeypatch.setattr(platform, "python_version", lambda: "3.11.0")
    monkeypatch.setattr(platform, "python_implementation", lambda: "CPython")
    fill(environment)
    return compose(environment.analyse(), environment.facts())


def test_the_report_of_a_known_environment(report: Report) -> None:
    assert render(report) == GOLDEN.read_text(encoding="utf-8")


def test_every_number_leads_to_a_source_and_every_source_is_cited(report: Report) -> None:
    text, _, sources = render(report).partition("## Sources")
    numbered = {int(number) for number in re.findall(r"^(\d+)\. ", sources, re.MULTILINE)}
    cited: set[int] = set()
    for run in re.findall(r"(?<!\\)\[([\d, –]+)\]", text):  # noqa: RUF001
        for part in run.split(", "):
            first, _, last = part.partition("–")  # noqa: RUF001
            cited |= set(range(int(first), int(last or first) + 1))
    edges = {number for number in report.picture_citations}
    assert cited | edges == numbered == set(range(1, len(numbered) + 1))


def test_metadata_cannot_add_markup(report: Report) -> None:
    page = MarkdownIt("commonmark", {"html": True}).enable("table").render(render(report))
    assert "<script" not in page
    assert "<img" not in page
    assert "javascript:" not in re.sub(r">[^<]*<", "><", page)


@given(st.text(st.characters(exclude_categories=["C", "Z"])))
def test_escaped_text_comes_out_as_it_went_in(text: str) -> None:
    page = MarkdownIt("commonmark").enable(["table", "strikethrough"])
    inline = page.renderInline(f"x{escaped(text)}x")
    expected = f"x{text}x".replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
    assert inline == expected.replace('"', "&quot;")


@pytest.mark.parametrize(
    ("numbers", "said"),
    [([], ""), ([3], " [3]"), ([1, 2, 3, 7], " [1–3, 7]")],  # noqa: RUF001
)
def test_references(numbers: list[int], said: str) -> None:
    assert references(numbers) == said
