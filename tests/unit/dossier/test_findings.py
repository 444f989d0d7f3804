"""The five most useful sentences, and what they rest on."""

from __future__ import annotations

from folkmoot.dossier.citing import Citations
from folkmoot.dossier.evidence import Evidence
from folkmoot.dossier.findings import FINDINGS_MAX, findings
from tests.unit.dossier.environments import Environment


def found(environment: Environment) -> list[tuple[str, set[tuple[str, object]]]]:
    """Return each sentence with what it cites, as (subject, value)."""
    cite = Citations()
    made = findings(environment.analyse(), Evidence(environment.facts()), cite)
    told = {each.number: (each.subject, each.value) for each in cite.all}
    return [(each.sentence, {told[number] for number in each.citations}) for each in made]


def sentence(environment: Environment, start: str) -> tuple[str, set[tuple[str, object]]]:
    (match,) = [each for each in found(environment) if start in each[0]]
    return match


def test_nothing_installed_is_nothing_to_say(environment: Environment) -> None:
    assert found(environment) == []


def test_what_is_wrong_comes_first(environment: Environment) -> None:
    environment.add("app", "1", "License: MIT", needs=["gone>1", "old>=2"], files={"x": 1})
    environment.add("old", "1.5", "License: Ours", files={"y": 2})
    said = found(environment)
    assert said[0] == (
        "2 requirements are not met: app needs old>=2 (found 1.5) and "
        "app needs gone>1 (not installed).",
        {("app", "old>=2"), ("app", "gone>1")},
    )
    assert said[1] == ("1 licence wants a look: old (Ours).", {("old", "Ours")})


def test_that_all_is_well_rests_on_every_requirement_that_counts(
    environment: Environment,
) -> None:
    environment.add("app", needs=["lib>=1", 'more; extra == "x"'])
    environment.add("lib")
    text, grounds = found(environment)[0]
    assert text.startswith("Every requirement of the 2 packages that applies here is met")
    assert grounds == {("app", "lib>=1")}


def test_what_could_not_be_read_is_said(environment: Environment) -> None:
    folder = environment.add("mute")
    (folder / "RECORD").unlink()
    text, grounds = sentence(environment, "could not be read")
    assert text == "Metadata of 1 package could not be read in full: mute."
    assert grounds == {("mute", "its size: there is no RECORD to be read")}


def test_permissive_licences_rest_on_what_declares_them(environment: Environment) -> None:
    environment.add("a", "1", "License-Expression: MIT")
    environment.add("b", "1", "Classifier: License :: OSI Approved :: BSD License")
    assert sentence(environment, "permissive") == (
        "Every package has a permissive licence.",
        {("a", "MIT"), ("b", "License :: OSI Approved :: BSD License")},
    )


def test_the_strictest_licence_is_named_first(environment: Environment) -> None:
    for name, licence in (("a", "MPL-2.0"), ("b", "GPL-3.0-only"), ("c", "LicenseRef-x")):
        environment.add(name, "1", f"License-Expression: {licence}")
    environment.add("d")
    text, _ = sentence(environment, "a look")
    assert text == (
        "4 licences want a look: b (GPL-3.0-only), d (no licence metadata), c (LicenseRef-x) "
        "and a (MPL-2.0)."
    )


def test_what_most_rests_on_is_named_with_who_says_so(environment: Environment) -> None:
    environment.add("top", needs=["middle"])
    environment.add("middle", needs=["base"])
    environment.add("side", needs=["base"])
    environment.add("base", "3", needs=["base"])
    assert sentence(environment, "carries most") == (
        "base carries most: 3 of 4 packages depend on it, 2 of them directly.",
        {("base", "3"), ("middle", "base"), ("side", "base")},
    )


def test_the_heaviest_is_named_with_why_it_is_here(environment: Environment) -> None:
    environment.add("app", needs=["big"], files={"x": 1024**2})
    environment.add("big", files={"y": 3 * 1024**2})
    assert sentence(environment, "heaviest") == (
        "big is the heaviest: 3.0 MiB, 75 % of all that is installed, and needed by app.",
        {("big", 3 * 1024**2), ("app", "big")},
    )


def test_an_extra_explains_the_heaviest(environment: Environment) -> None:
    environment.add("app", needs=['big; extra == "all"'])
    environment.add("big", files={"y": 10})
    text, grounds = sentence(environment, "heaviest")
    assert text.endswith("and needed by no package, but by the extra app[all].")
    assert ("app", 'big; extra == "all"') in grounds


def test_what_nothing_needs_is_named_by_its_reach(environment: Environment) -> None:
    environment.add("app", needs=["lib"])
    environment.add("lib")
    environment.add("stray")
    text, _ = sentence(environment, "needed by no other")
    assert text.startswith("2 packages are needed by no other")
    assert text.endswith("app (reaches 1) and stray (reaches 0).")


def test_native_code_is_named_where_there_is_room(environment: Environment) -> None:
    environment.add("quick", files={"a.so": 1, "b.so": 1})
    assert sentence(environment, "native") == (
        "1 package ships native code, most files of it in quick.", {("quick", 2)},
    )  # fmt: skip


def test_there_are_never_more_than_five(environment: Environment) -> None:
    for name in "abc":
        environment.add(name, needs=["gone", "base"], files={"x.so": 1})
    folder = environment.add("base")
    (folder / "RECORD").unlink()
    said = found(environment)
    assert len(said) == FINDINGS_MAX
    assert all(grounds for _, grounds in said)
