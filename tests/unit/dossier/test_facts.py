"""What is read of a distribution, from where, and what becomes of what is broken."""

from __future__ import annotations

import json
from typing import Any

import pytest

from folkmoot.dossier.facts import REQUIREMENT_CHARS_MAX, UNREADABLE, Fact
from folkmoot.dossier.text import TEXT_CHARS_MAX
from tests.unit.dossier.environments import Environment


def test_every_fact_says_where_it_was_read(environment: Environment) -> None:
    environment.add(
        "Whole",
        "2.1",
        "Summary: Does it all",
        "License-Expression: MIT",
        "Classifier: License :: OSI Approved :: MIT License",
        "Classifier: Typing :: Typed",
        "License: MIT",
        needs=["other>=1", 'extra-one; extra == "fast"'],
        files={
            "whole/a.py": 100,
            "whole/b.cpython-311.so": 900,
            "Whole-2.1.dist-info/licenses/COPYING": 5,
        },
    )
    metadata, record = "Whole-2.1.dist-info/METADATA", "Whole-2.1.dist-info/RECORD"
    assert environment.read("whole").facts == [
        Fact("whole", "version", "2.1", f"{metadata}#Version"),
        Fact("whole", "summary", "Does it all", f"{metadata}#Summary"),
        Fact("whole", "licence-expression", "MIT", f"{metadata}#License-Expression"),
        Fact(
            "whole",
            "licence-classifier",
            "License :: OSI Approved :: MIT License",
            f"{metadata}#Classifier",
        ),
        Fact("whole", "licence-text", "MIT", f"{metadata}#License"),
        Fact("whole", "requires", "other>=1", f"{metadata}#Requires-Dist"),
        Fact("whole", "requires", 'extra-one; extra == "fast"', f"{metadata}#Requires-Dist"),
        Fact("whole", "bytes", 1005, record),
        Fact("whole", "native", 1, record),
        Fact("whole", "licence-file", "Whole-2.1.dist-info/licenses/COPYING", record),
    ]


def test_the_files_read_are_counted_with_their_bytes(environment: Environment) -> None:
    folder = environment.add("counted", files={"x.py": 10_000})
    (folder / "direct_url.json").write_text("{}")
    sizes = [(folder / f).stat().st_size for f in ("METADATA", "RECORD", "direct_url.json")]
    reading = environment.read("counted")
    assert (reading.files, reading.bytes) == (3, sum(sizes))


def test_old_tools_words_for_nothing_are_nothing(environment: Environment) -> None:
    environment.add("old", "1", "Summary: UNKNOWN", "License: UNKNOWN")
    said = environment.said("old")
    assert "summary" not in said
    assert "licence-text" not in said
    assert said["licence-none"] == [True]


def test_only_the_first_line_of_a_licence_text_is_kept(environment: Environment) -> None:
    environment.add("wordy", "1", "License: MIT License\n        \n        Copyright (c) A")
    assert environment.said("wordy")["licence-text"] == ["MIT License"]


def test_long_and_unprintable_texts_are_cut_and_cleaned(environment: Environment) -> None:
    environment.add("long", "1", f"Summary: a\x1b[2Jb\t{'x' * 500}")
    (summary,) = environment.said("long")["summary"]
    assert len(summary) == TEXT_CHARS_MAX
    assert summary.startswith("a [2Jb xx")
    assert summary.endswith("…")


def test_an_editable_install_is_known(environment: Environment) -> None:
    folder = environment.add("edited")
    (folder / "direct_url.json").write_text('{"url": "file:///x", "dir_info": {"editable": true}}')
    assert environment.said("edited")["editable"] == [True]


@pytest.mark.parametrize(
    "origin", ["{}", "[]", '{"dir_info": 3}', '{"dir_info": {"editable": false}}']
)
def test_other_origins_are_no_editable_installs(environment: Environment, origin: str) -> None:
    folder = environment.add("plain")
    (folder / "direct_url.json").write_text(origin)
    assert "editable" not in environment.said("plain")


def test_what_is_not_installed_is_said_to_be_so(environment: Environment) -> None:
    assert environment.read("absent").facts == [
        Fact("absent", UNREADABLE, "it is not installed", "absent#")
    ]


BREAKAGES: dict[str, tuple[str, bytes | None, str, str]] = {
    "no METADATA": ("METADATA", None, "there is no METADATA", "METADATA"),
    "empty METADATA": ("METADATA", b"", "there is no METADATA", "METADATA"),
    "not UTF-8": ("METADATA", b"Name: x\nAuthor: \xff\n", "METADATA: 'utf-8' codec", "METADATA"),
    "no version": ("METADATA", b"Name: x\n", "its version: there is none", "METADATA#Version"),
    "a field twice": (
        "METADATA", b"Name: x\nVersion: 1\nSummary: a\nSummary: b\n",
        "the field summary", "METADATA#summary",
    ),
    "no requirement": (
        "METADATA", b"Name: x\nVersion: 1\nRequires-Dist: what is this?\n",
        "the requirement 'what is this?'", "METADATA#Requires-Dist",
    ),
    "a senseless marker": (
        "METADATA", b"Name: x\nVersion: 1\nRequires-Dist: y; python_version ~= 'x.y'\n",
        "the requirement", "METADATA#Requires-Dist",
    ),
    "a requirement without end": (
        "METADATA",
        b"Name: x\nVersion: 1\nRequires-Dist: y @ http://" + b"z" * REQUIREMENT_CHARS_MAX + b"\n",
        "a requirement as long as", "METADATA#Requires-Dist",
    ),
    "no RECORD": ("RECORD", None, "its size: there is no RECORD", "RECORD"),
    "a RECORD in latin-1": ("RECORD", b"\xff.py,,3\n", "RECORD: 'utf-8' codec", "RECORD"),
    "a RECORD that is no CSV": ("RECORD", b"x" * 200_000, "RECORD: field larger", "RECORD"),
    "an origin that is no JSON": (
        "direct_url.json", b"{", "direct_url.json: Expecting", "direct_url.json",
    ),
    "an origin nested without end": (
        "direct_url.json", b"[" * 100_000, "direct_url.json: maximum recursion",
        "direct_url.json",
    ),
}  # fmt: skip


@pytest.mark.parametrize(
    ("file", "content", "complaint", "source"), BREAKAGES.values(), ids=BREAKAGES
)
def test_what_is_broken_becomes_a_fact_and_the_rest_is_read(
    environment: Environment, file: str, content: bytes | None, complaint: str, source: str
) -> None:
    folder = environment.add("x", "1", files={"x.py": 7})
    (folder / file).unlink(missing_ok=True)
    if content is not None:
        (folder / file).write_bytes(content)
    facts = environment.read("x").facts
    complaints = [fact for fact in facts if fact.predicate == UNREADABLE]
    assert any(
        fact.value.startswith(complaint) and fact.source == f"x-1.dist-info/{source}"
        for fact in complaints
    )
    assert all(len(fact.value) <= TEXT_CHARS_MAX for fact in complaints)
    whole = "bytes" if file != "RECORD" else "version"
    assert whole in {fact.predicate for fact in facts}
    assert environment.analyse().packages[0].name == "x"


@pytest.mark.parametrize("size", ["", "-1", "many", "9" * 5000, "²"])
def test_a_senseless_size_counts_as_none(environment: Environment, size: str) -> None:
    environment.add("sized", files={"a": size, "b": 3})
    assert environment.said("sized")["bytes"] == [3]


def test_an_egg_is_read_as_well(environment: Environment) -> None:
    egg = environment.site / "egg-3.egg-info"
    egg.mkdir()
    (egg / "PKG-INFO").write_text("Name: egg\nVersion: 3\nLicense: MIT\n")
    (egg / "requires.txt").write_text("needed>=2\n")
    facts = environment.read("egg").facts
    assert Fact("egg", "version", "3", "egg-3.egg-info/PKG-INFO#Version") in facts
    assert ("requires", "needed>=2") in {(fact.predicate, fact.value) for fact in facts}
    assert environment.said("egg")[UNREADABLE] == ["its size: there is no RECORD to be read"]


def test_an_egg_that_is_one_file_is_its_own_source(environment: Environment) -> None:
    (environment.site / "flat-4.egg-info").write_text("Name: flat\nVersion: 4\n")
    facts = environment.read("flat").facts
    assert Fact("flat", "version", "4", "flat-4.egg-info#Version") in facts


def test_facts_are_json(environment: Environment) -> None:
    environment.add("json", "1", "License: MIT", needs=["a"], files={"x": 1})
    facts: list[list[Any]] = environment.facts()
    assert json.loads(json.dumps(facts)) == facts
