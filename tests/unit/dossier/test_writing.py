"""The report on disk: whole or not there, and gone when taken away."""

from __future__ import annotations

from pathlib import Path

import pytest

from folkmoot.dossier import writing
from folkmoot.dossier.models import Draft
from folkmoot.dossier.writing import CannotWrite, remove, write
from tests.unit.dossier.environments import Environment


def written(environment: Environment, out: Path) -> Draft:
    return write(out, environment.analyse(), environment.facts())


def test_both_forms_are_written_and_nothing_else(environment: Environment, tmp_path: Path) -> None:
    environment.add("app")
    out = tmp_path / "new" / "folder"
    draft = written(environment, out)
    assert sorted(path.name for path in out.iterdir()) == ["dossier.html", "dossier.md"]
    assert Path(draft.markdown).read_text().startswith("# Dependency dossier of ")
    assert Path(draft.html).read_text().startswith("<!DOCTYPE html>")
    assert Draft.model_validate_json(draft.model_dump_json()) == draft


def test_the_same_environment_gives_the_same_report(
    environment: Environment, tmp_path: Path
) -> None:
    environment.add("app", needs=["lib"], files={"x": 3})
    environment.add("lib", files={"y": 3})
    first, second = (written(environment, tmp_path / name) for name in "ab")
    assert Path(first.markdown).read_bytes() == Path(second.markdown).read_bytes()
    assert Path(first.html).read_bytes() == Path(second.html).read_bytes()


def test_a_write_that_is_broken_off_leaves_the_old_report_and_no_draft(
    environment: Environment, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    environment.add("app")
    out = tmp_path / "out"
    old = Path(written(environment, out).markdown).read_bytes()
    environment.add("lib")

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, "replace", full)
    with pytest.raises(CannotWrite, match="No space left on device"):
        written(environment, out)
    assert (out / "dossier.md").read_bytes() == old
    assert sorted(path.name for path in out.iterdir()) == ["dossier.html", "dossier.md"]


def test_a_place_that_cannot_be_written_to_is_named(
    environment: Environment, tmp_path: Path
) -> None:
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(CannotWrite, match=r"cannot write the report into .*file.*name a folder"):
        written(environment, tmp_path / "file")


def test_taking_it_away_leaves_nothing_and_may_be_repeated(
    environment: Environment, tmp_path: Path
) -> None:
    environment.add("app")
    out = tmp_path / "out"
    written(environment, out)
    (out / f"{writing.DRAFT_PREFIX}left-by-a-crash").write_text("half")
    (out / "of-the-user.txt").write_text("keep")
    remove(out)
    remove(out)
    assert [path.name for path in out.iterdir()] == ["of-the-user.txt"]


def test_taking_away_what_was_never_written_is_harmless(tmp_path: Path) -> None:
    remove(tmp_path / "never")
    assert not (tmp_path / "never").exists()
