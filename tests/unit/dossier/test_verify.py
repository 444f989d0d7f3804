"""Every citation is checked against what the disk says now."""

from __future__ import annotations

from pathlib import Path

import pytest

from folkmoot.dossier.models import Citation, Draft
from folkmoot.dossier.verify import citations_that_do_not_hold
from folkmoot.dossier.writing import write
from tests.unit.dossier.environments import Environment


@pytest.fixture
def draft(environment: Environment, tmp_path: Path) -> Draft:
    environment.add("app", "1", "License: MIT", needs=["lib>=1"], files={"x.so": 10})
    environment.add("lib", "1", "License-Expression: GPL-3.0-only", files={"y": 20})
    return write(tmp_path / "out", environment.analyse(), environment.facts())


def wrong(environment: Environment, citations: list[Citation]) -> list[tuple[str, str]]:
    found = citations_that_do_not_hold(citations, environment.read)
    return [(each.subject, each.predicate) for each in found]


def test_what_was_just_read_holds(environment: Environment, draft: Draft) -> None:
    assert {(each.subject, each.predicate) for each in draft.citations} == {
        *(("app", each) for each in ("version", "licence-text", "requires", "bytes", "native")),
        *(("lib", each) for each in ("version", "licence-expression", "bytes")),
    }
    assert wrong(environment, draft.citations) == []


def test_a_source_that_has_changed_is_found(environment: Environment, draft: Draft) -> None:
    file = environment.site / "lib-1.dist-info" / "METADATA"
    file.write_text(file.read_text().replace("GPL-3.0-only", "MIT"))
    assert wrong(environment, draft.citations) == [("lib", "licence-expression")]


def test_a_source_that_is_gone_is_found(environment: Environment, draft: Draft) -> None:
    (environment.site / "app-1.dist-info" / "RECORD").unlink()
    found = wrong(environment, draft.citations)
    assert ("app", "bytes") in found
    assert {subject for subject, _ in found} == {"app"}


def test_the_planted_lie_is_found_and_nothing_else(
    environment: Environment, draft: Draft, tmp_path: Path
) -> None:
    lying = write(tmp_path / "lie", environment.analyse(), environment.facts(), plant_a_lie=True)
    assert wrong(environment, lying.citations) == [("app", "version")]
    assert "0+planted" in (tmp_path / "lie" / "dossier.md").read_text()
    assert "0+planted" in (tmp_path / "lie" / "dossier.html").read_text()


def test_a_lie_about_nothing_is_found_too(environment: Environment, tmp_path: Path) -> None:
    lying = write(tmp_path / "lie", environment.analyse(), [], plant_a_lie=True)
    assert wrong(environment, lying.citations) == [("nothing", "version")]


def test_a_true_value_at_a_wrong_source_does_not_hold(
    environment: Environment, draft: Draft
) -> None:
    moved = draft.citations[0].model_copy(update={"source": "lib-1.dist-info/METADATA#Name"})
    assert len(citations_that_do_not_hold([moved], environment.read)) == 1


def test_each_source_is_read_once(environment: Environment, draft: Draft) -> None:
    reads: list[str] = []

    def counting(name: str) -> object:
        reads.append(name)
        return environment.read(name)

    citations_that_do_not_hold(draft.citations, counting)  # type: ignore[arg-type]
    assert sorted(reads) == ["app", "lib"]
