"""What a distribution's licence is, and into which family it falls.

An SPDX expression counts before classifiers, and classifiers before free text, which is never
guessed at: text that is no SPDX expression is shown and left to a person.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Literal, NamedTuple

from packaging.licenses import InvalidLicenseExpression, canonicalize_license_expression

Family = Literal["permissive", "weak copyleft", "strong copyleft", "other", "unknown"]
FAMILIES: Sequence[Family] = (
    "permissive", "weak copyleft", "strong copyleft", "other", "unknown",
)  # fmt: skip

_FAMILY_OF: Mapping[Family, frozenset[str]] = {
    "permissive": frozenset({
        "0BSD", "Apache-2.0", "BSD-2-Clause", "BSD-3-Clause", "BSL-1.0", "CC0-1.0", "HPND", "ISC",
        "MIT", "MIT-0", "MIT-CMU", "PSF-2.0", "Python-2.0", "Python-2.0.1", "Unlicense", "Zlib",
        "CNRI-Python", "BlueOak-1.0.0", "NCSA", "Zope-2.1", "ZPL-2.1", "WTFPL", "X11", "OLDAP-2.8",
    }),
    "weak copyleft": frozenset({
        "LGPL-2.0-only", "LGPL-2.0-or-later", "LGPL-2.1-only", "LGPL-2.1-or-later",
        "LGPL-3.0-only", "LGPL-3.0-or-later", "MPL-1.1", "MPL-2.0", "EPL-1.0", "EPL-2.0",
        "CDDL-1.0", "EUPL-1.2",
    }),
    "strong copyleft": frozenset({
        "GPL-2.0-only", "GPL-2.0-or-later", "GPL-3.0-only", "GPL-3.0-or-later", "AGPL-3.0-only",
        "AGPL-3.0-or-later", "SSPL-1.0",
    }),
}  # fmt: skip

_CLASSIFIERS: Mapping[str, str] = {
    "Apache Software License": "Apache-2.0",
    "BSD License": "BSD-3-Clause",
    "GNU Affero General Public License v3": "AGPL-3.0-only",
    "GNU General Public License v2 (GPLv2)": "GPL-2.0-only",
    "GNU General Public License v3 (GPLv3)": "GPL-3.0-only",
    "GNU General Public License v3 or later (GPLv3+)": "GPL-3.0-or-later",
    "GNU Lesser General Public License v3 (LGPLv3)": "LGPL-3.0-only",
    "GNU Lesser General Public License v2 or later (LGPLv2+)": "LGPL-2.0-or-later",
    "ISC License (ISCL)": "ISC",
    "MIT License": "MIT",
    "MIT No Attribution License (MIT-0)": "MIT-0",
    "Mozilla Public License 2.0 (MPL 2.0)": "MPL-2.0",
    "Python Software Foundation License": "PSF-2.0",
    "The Unlicense (Unlicense)": "Unlicense",
    "zlib/libpng License": "Zlib",
}


class Licence(NamedTuple):
    """A licence as concluded: what to show, its family, and the fact that it rests on."""

    shown: str
    family: Family
    predicate: str | None


def conclude(declared: Mapping[str, Sequence[str]]) -> Licence:
    """Return the licence of a distribution from its facts, by predicate."""
    for expression in declared.get("licence-expression", ()):
        return Licence(expression, family(expression), "licence-expression")
    names = [name.rsplit(" :: ", 1)[-1] for name in declared.get("licence-classifier", ())]
    mapped = [_CLASSIFIERS[name] for name in names if name in _CLASSIFIERS]
    if mapped:
        expression = " OR ".join(dict.fromkeys(mapped))
        return Licence(expression, family(expression), "licence-classifier")
    for text in declared.get("licence-text", ()):
        return Licence(text, family(_CLASSIFIERS.get(text, text)), "licence-text")
    if names and names != ["OSI Approved"]:
        return Licence(names[0], "other", "licence-classifier")
    if declared.get("licence-file"):
        return Licence("no licence declared, ships a licence file", "unknown", "licence-file")
    return Licence("no licence declared", "unknown", None)


def family(expression: str) -> Family:
    """Return the family of an SPDX expression: of OR the mildest part, of AND the strictest."""
    try:
        canonical = canonicalize_license_expression(expression)
    except InvalidLicenseExpression:
        return "other"
    return max((_all_of(part) for part in _split(canonical, "OR")), key=_mildness)


def _all_of(expression: str) -> Family:
    return min((_one(part) for part in _split(expression, "AND")), key=_mildness)


def _split(expression: str, operator: str) -> list[str]:
    """Split at an operator that stands outside parentheses."""
    parts, depth, start = [], 0, 0
    for match in re.finditer(rf"\(|\)| {operator} ", expression):
        found = match.group()
        depth += (found == "(") - (found == ")")
        if depth == 0 and found.strip() == operator:
            parts.append(expression[start : match.start()])
            start = match.end()
    return [*parts, expression[start:]]


def _one(expression: str) -> Family:
    expression = expression.strip()
    if expression.startswith("(") and expression.endswith(")"):
        return family(expression[1:-1])
    licence = expression.split(" WITH ")[0].strip()
    return next((name for name, ids in _FAMILY_OF.items() if licence in ids), "other")


def _mildness(name: Family) -> int:
    order = ("unknown", "other", "strong copyleft", "weak copyleft", "permissive")
    return order.index(name)
