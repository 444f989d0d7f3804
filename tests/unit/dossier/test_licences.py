"""Which licence is concluded, on what grounds, and its family."""

from __future__ import annotations

import pytest
from packaging.licenses import canonicalize_license_expression

from folkmoot.dossier import licences
from folkmoot.dossier.licences import Licence, conclude, family

FAMILIES = {
    "MIT": "permissive",
    "apache-2.0": "permissive",
    "BSD-3-Clause": "permissive",
    "Apache-2.0+": "permissive",
    "Apache-2.0 WITH LLVM-exception": "permissive",
    "MPL-2.0": "weak copyleft",
    "LGPL-2.1": "weak copyleft",
    "LGPL-3.0-or-later": "weak copyleft",
    "GPL-3.0-only": "strong copyleft",
    "GPL-2.0+": "strong copyleft",
    "AGPL-3.0": "strong copyleft",
    "GPL-2.0-only WITH Classpath-exception-2.0": "weak copyleft",
    "GPL-2.0-only WITH Font-exception-2.0": "strong copyleft",
    "LicenseRef-Ours": "other",
    "CC-BY-4.0": "other",
    "MIT OR GPL-3.0-only": "permissive",
    "MIT AND GPL-3.0-only": "strong copyleft",
    "MIT AND LicenseRef-Ours": "other",
    "GPL-3.0-only AND LicenseRef-Ours": "strong copyleft",
    "MPL-2.0 AND (Apache-2.0 OR MIT)": "weak copyleft",
    "(MIT AND GPL-3.0-only) OR MPL-2.0": "weak copyleft",
    "MIT OR GPL-3.0-only AND MPL-2.0": "permissive",
    "((MIT)) AND (ISC)": "permissive",
    "GPL-3.0-only AND (MIT OR (MPL-2.0 AND ISC))": "strong copyleft",
}


@pytest.mark.parametrize(("expression", "expected"), FAMILIES.items())
def test_the_family_of_an_expression(expression: str, expected: str) -> None:
    assert family(expression) == expected


@pytest.mark.parametrize("text", ["", "Apache 2", "MIT OR", "(MIT", "GPL", "MIT MIT", "(" * 150])
def test_what_is_no_expression_has_no_family(text: str) -> None:
    assert family(text) is None


def test_every_licence_that_is_named_is_in_the_spdx_list() -> None:
    for identifier in {*licences.PERMISSIVE, *licences.NAMES.values()}:
        assert canonicalize_license_expression(identifier) == identifier


def test_every_name_that_means_one_licence_has_a_family() -> None:
    assert {family(identifier) for identifier in licences.NAMES.values()} == {
        "permissive", "weak copyleft", "strong copyleft",
    }  # fmt: skip


def classified(*names: str) -> list[str]:
    return [f"License :: OSI Approved :: {name}" for name in names]


def test_an_expression_counts_before_everything_else() -> None:
    found = conclude({
        "licence-expression": ["mit"],
        "licence-classifier": classified("GNU General Public License v3 (GPLv3)"),
        "licence-text": ["GPL-3.0-only"],
    })  # fmt: skip
    assert found == Licence("MIT", "permissive", "SPDX expression", ("licence-expression",))


def test_an_expression_that_is_none_is_said_to_be_so() -> None:
    found = conclude({"licence-expression": ["Apache 2"]})
    assert found.family == "other"
    assert found.shown == "Apache 2 (not a valid SPDX expression)"


def test_a_license_field_in_spdx_counts_before_vaguer_classifiers() -> None:
    found = conclude({
        "licence-text": ["BSD-3-Clause"], "licence-classifier": classified("BSD License"),
    })  # fmt: skip
    assert found[:3] == ("BSD-3-Clause", "permissive", "SPDX in the License field")


def test_declarations_that_disagree_are_shown_and_the_stricter_counts() -> None:
    found = conclude({
        "licence-text": ["MIT"],
        "licence-classifier": classified("GNU General Public License v3 (GPLv3)"),
    })  # fmt: skip
    says = "GNU General Public License v3 (GPLv3)"
    assert found.shown == f"MIT, but its classifiers say {says}"
    assert found.family == "strong copyleft"
    assert found.predicates == ("licence-text", "licence-classifier")


VAGUE_GPL = "GNU General Public License (GPL)"
MPL = "Mozilla Public License 2.0 (MPL 2.0)"


@pytest.mark.parametrize(
    ("names", "shown", "expected"),
    [
        (["MIT License"], "MIT", "permissive"),
        (["BSD License"], "BSD License", "permissive"),
        ([VAGUE_GPL], VAGUE_GPL, "strong copyleft"),
        (["MIT License", "Apache Software License"], "MIT and/or Apache-2.0", "permissive"),
        (["MIT License", MPL], "MIT and/or MPL-2.0", "weak copyleft"),
        (["Other/Proprietary License"], "Other/Proprietary License", "other"),
    ],
)
def test_classifiers_are_mapped_and_the_strictest_counts(
    names: list[str], shown: str, expected: str
) -> None:
    found = conclude({"licence-classifier": classified(*names)})
    assert found[:3] == (shown, expected, "classifier")


def test_a_classifier_that_names_no_licence_says_nothing() -> None:
    declared = ["License :: OSI Approved", "License :: DFSG approved"]
    found = conclude({"licence-classifier": declared, "licence-text": ["MIT License"]})
    assert found[:3] == ("MIT License", "permissive", "free text")
    assert conclude({"licence-classifier": declared})[:3] == (
        "no licence metadata", "unknown", "nothing",
    )  # fmt: skip


def test_free_text_is_not_guessed_at() -> None:
    assert conclude({"licence-text": ["Apache 2, like MIT"]})[:3] == (
        "Apache 2, like MIT", "other", "free text",
    )  # fmt: skip


def test_a_licence_file_alone_is_said_to_be_all_there_is() -> None:
    found = conclude({"licence-none": ["True"], "licence-file": ["x/LICENSE"]})
    assert found[:3] == (
        "no licence metadata, ships a licence file", "unknown", "licence file only",
    )  # fmt: skip


def test_unreadable_metadata_is_not_taken_for_silence() -> None:
    assert conclude({}).shown == "not known: its metadata could not be read"
    assert conclude({"licence-none": ["True"]}).shown == "no licence metadata"
