"""The page: well formed, whole without any other file, and safe whatever the metadata says."""

from __future__ import annotations

import re
from base64 import b64encode
from hashlib import sha256
from html.parser import HTMLParser

import pytest

from folkmoot.dossier import citing
from folkmoot.dossier.html import render
from folkmoot.dossier.report import compose
from tests.unit.dossier.environments import Environment
from tests.unit.dossier.samples import HOSTILE, fill

VOID = {"meta", "input", "br", "img", "link"}


class Page(HTMLParser):
    """A page as its tags, refusing what is not nested properly."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.texts: dict[str, list[str]] = {}
        self.feed(text)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        names = [name for name, _ in attrs]
        assert len(names) == len(set(names))
        self.tags.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if self.open:
            self.texts.setdefault(self.open[-1], []).append(data)

    def all(self, tag: str) -> list[dict[str, str | None]]:
        return [attrs for each, attrs in self.tags if each == tag]


@pytest.fixture
def text(environment: Environment) -> str:
    fill(environment)
    return render(compose(environment.analyse(), environment.facts()))


@pytest.fixture
def page(text: str) -> Page:
    return Page(text)


def test_it_has_the_picture_the_table_and_the_sources(page: Page) -> None:
    assert len(page.all("svg")) == 1
    assert len(page.all("circle")) >= 4
    assert len([attrs for attrs in page.all("li") if attrs.get("id", "")]) > 20
    assert page.texts["h1"][0].startswith("Dependency dossier of ")
    names = page.texts["b"]
    assert {"app", "web-kit", "quick", "old-lib", "tool", "hostile", "edited"} <= set(names)


def test_every_reference_leads_to_a_source(page: Page) -> None:
    targets = {f"#{attrs['id']}" for attrs in page.all("li") if "id" in attrs}
    references = {attrs["href"] for attrs in page.all("a")}
    assert references
    assert references <= targets


def test_it_needs_nothing_from_elsewhere(page: Page, text: str) -> None:
    assert not {tag for tag, _ in page.tags} & {"link", "img", "iframe", "object", "base", "form"}
    assert not any("src" in attrs for _, attrs in page.tags)
    assert "url(" not in text
    assert "@import" not in text


def test_its_policy_lets_only_its_own_script_run(page: Page) -> None:
    (policy,) = (attrs["content"] for attrs in page.all("meta") if "http-equiv" in attrs)
    (script,) = page.texts["script"]
    digest = b64encode(sha256(script.encode()).digest()).decode()
    assert policy is not None
    assert policy.split("; ") == [
        "default-src 'none'", "style-src 'unsafe-inline'", f"script-src 'sha256-{digest}'",
    ]  # fmt: skip


def test_metadata_is_shown_and_never_obeyed(page: Page, text: str) -> None:
    assert len(page.all("script")) == 1
    assert not any(name.startswith("on") for _, attrs in page.tags for name in attrs)
    assert any(HOSTILE in shown for shown in page.texts["small"])
    assert HOSTILE not in text


def test_editable_and_native_packages_are_tagged(page: Page) -> None:
    assert sorted(each for each in page.texts["span"] if each in ("native", "editable")) == [
        "editable", "native",
    ]  # fmt: skip


def test_an_empty_environment_has_a_page_too() -> None:
    from folkmoot.dossier.analysis import analyse

    page = Page(render(compose(analyse([]), [])))
    assert page.all("svg") == []
    assert "0" in page.texts["b"]


def test_sources_without_room_are_counted(
    environment: Environment, monkeypatch: pytest.MonkeyPatch
) -> None:
    fill(environment)
    monkeypatch.setattr(citing.Citations.__init__, "__defaults__", (600,))
    report = compose(environment.analyse(), environment.facts())
    assert 0 < len(report.citations) <= 6
    assert re.search(rf"no room to number {report.left_out} further sources", render(report))
