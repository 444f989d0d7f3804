"""What a check needs is found, or its lack is said."""

from __future__ import annotations

from pathlib import Path

import pytest

from deploy import programs


@pytest.fixture(autouse=True)
def _elsewhere(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PATH", str(tmp_path / "bin"))
    monkeypatch.setattr(programs, "UNPACKED", tmp_path / "prometheus")


def test_what_is_on_the_path_is_taken(tmp_path: Path) -> None:
    program = tmp_path / "bin" / "promtool"
    program.parent.mkdir()
    program.touch(mode=0o755)
    assert programs.prometheus_program("promtool") == program


def test_what_was_unpacked_before_is_taken(tmp_path: Path) -> None:
    program = tmp_path / "prometheus" / "usr" / "bin" / "promtool"
    program.parent.mkdir(parents=True)
    program.touch()
    assert programs.prometheus_program("promtool") == program


def test_where_it_cannot_be_had_that_is_said(tmp_path: Path) -> None:
    with pytest.raises(programs.ProgramMissing, match="install Prometheus"):
        programs.prometheus_program("promtool")
    assert not (tmp_path / "prometheus").exists()
