"""Which distributions are found under which names, and how they are shared out."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from folkmoot.dossier.corpus import distributions, find, shards
from tests.unit.dossier.environments import Environment


def test_names_are_compared_as_pep_503_says(environment: Environment) -> None:
    environment.add("Ruamel.YAML__Clib")
    assert list(distributions(environment.path)) == ["ruamel-yaml-clib"]
    assert find("ruamel-yaml-clib", environment.path) is not None


def test_the_first_on_the_path_counts(environment: Environment, tmp_path: Path) -> None:
    second = Environment(tmp_path / "second")
    second.site.mkdir()
    environment.add("twice", "1.0")
    second.add("twice", "2.0")
    found = distributions([*environment.path, *second.path])
    assert found["twice"].version == "1.0"


@pytest.mark.parametrize("headers", ["", "Metadata-Version: 2.1\n", "Name: \n"])
def test_what_does_not_say_its_name_goes_by_its_folder(
    environment: Environment, headers: str
) -> None:
    folder = environment.add("Name_Less")
    (folder / "METADATA").write_text(headers)
    assert list(distributions(environment.path)) == ["name-less"]


def test_what_is_not_even_utf_8_goes_by_its_folder(environment: Environment) -> None:
    folder = environment.add("latin")
    (folder / "METADATA").write_bytes(b"Name: latin\nAuthor: J\xf6rg\n")
    assert list(distributions(environment.path)) == ["latin"]


def test_a_name_cannot_smuggle_in_control_characters(environment: Environment) -> None:
    folder = environment.add("evil")
    (folder / "METADATA").write_text("Name: ev\x1b[31mil\nVersion: 1\n")
    (name,) = distributions(environment.path)
    assert name.isprintable()
    assert find(name, environment.path) is not None


def test_a_folder_that_is_called_otherwise_is_found_all_the_same(
    environment: Environment, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = environment.add("renamed")
    folder.rename(environment.site / "another-1.0.dist-info")
    monkeypatch.syspath_prepend(environment.site)
    found = find("renamed")
    assert found is not None
    assert found.metadata["Name"] == "renamed"
    assert find("another") is None


@given(st.lists(st.text(), max_size=40), st.integers(1, 50))
def test_shards_hold_everything_once_and_are_of_even_size(names: list[str], count: int) -> None:
    dealt = shards(names, count)
    assert sorted(name for shard in dealt for name in shard) == sorted(names)
    assert len(dealt) == min(count, len(names))
    sizes = [len(shard) for shard in dealt]
    assert max(sizes, default=0) - min(sizes, default=0) <= 1
