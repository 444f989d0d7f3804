"""What a distribution's licence is, on what grounds, and into which family it falls.

An SPDX expression counts before classifiers, and classifiers before free text, which is never
guessed at: text that names no licence exactly is shown and left to a person. Families say how far
a licence reaches into what is built on it; they are a first sorting, not legal advice.
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

STRICTNESS: Sequence[Family] = (
    "permissive", "weak copyleft", "other", "unknown", "strong copyleft",
)  # fmt: skip
"""From what asks least to what most wants a look."""

PERMISSIVE = frozenset({
    "0BSD", "Apache-1.1", "Apache-2.0", "Artistic-2.0", "BlueOak-1.0.0", "BSD-1-Clause",
    "BSD-2-Clause", "BSD-2-Clause-Patent", "BSD-3-Clause", "BSD-3-Clause-Clear", "BSL-1.0",
    "CC0-1.0", "CNRI-Python", "curl", "HPND", "ICU", "ISC", "MIT", "MIT-0", "MIT-CMU", "NCSA",
    "OLDAP-2.8", "PostgreSQL", "PSF-2.0", "Python-2.0", "Python-2.0.1", "Unicode-3.0",
    "Unicode-DFS-2016", "Unlicense", "UPL-1.0", "WTFPL", "X11", "Zlib", "ZPL-2.0", "ZPL-2.1",
})  # fmt: skip
WEAK_COPYLEFT = re.compile(r"(LGPL|MPL|EPL|CDDL|EUPL|CPL|MS-RL)-\d")
STRONG_COPYLEFT = re.compile(r"(GPL|AGPL|SSPL|OSL|CECILL|RPL)-\d")
LINKING_EXCEPTION = re.compile(
    r"(Classpath|GCC|Linking|LGPL|Bison|Autoconf|Libtool|FLTK|WxWindows)"
)
"""A strong copyleft licence with such an exception reaches only as far as a weak one."""

NAMES: Mapping[str, str] = {
    "Apache Software License": "Apache-2.0",
    "Boost Software License 1.0 (BSL-1.0)": "BSL-1.0",
    "CC0 1.0 Universal (CC0 1.0) Public Domain Dedication": "CC0-1.0",
    "Eclipse Public License 1.0 (EPL-1.0)": "EPL-1.0",
    "Eclipse Public License 2.0 (EPL-2.0)": "EPL-2.0",
    "European Union Public Licence 1.2 (EUPL 1.2)": "EUPL-1.2",
    "GNU Affero General Public License v3": "AGPL-3.0-only",
    "GNU Affero General Public License v3 or later (AGPLv3+)": "AGPL-3.0-or-later",
    "GNU General Public License v2 (GPLv2)": "GPL-2.0-only",
    "GNU General Public License v2 or later (GPLv2+)": "GPL-2.0-or-later",
    "GNU General Public License v3 (GPLv3)": "GPL-3.0-only",
    "GNU General Public License v3 or later (GPLv3+)": "GPL-3.0-or-later",
    "GNU Lesser General Public License v2 (LGPLv2)": "LGPL-2.0-only",
    "GNU Lesser General Public License v2 or later (LGPLv2+)": "LGPL-2.0-or-later",
    "GNU Lesser General Public License v3 (LGPLv3)": "LGPL-3.0-only",
    "GNU Lesser General Public License v3 or later (LGPLv3+)": "LGPL-3.0-or-later",
    "Historical Permission Notice and Disclaimer (HPND)": "HPND",
    "ISC License (ISCL)": "ISC",
    "MIT License": "MIT",
    "MIT No Attribution License (MIT-0)": "MIT-0",
    "Mozilla Public License 1.1 (MPL 1.1)": "MPL-1.1",
    "Mozilla Public License 2.0 (MPL 2.0)": "MPL-2.0",
    "Python Software Foundation License": "PSF-2.0",
    "The Unlicense (Unlicense)": "Unlicense",
    "Universal Permissive License (UPL)": "UPL-1.0",
    "University of Illinois/NCSA Open Source License": "NCSA",
    "zlib/libpng License": "Zlib",
}
"""The names in classifiers that mean one licence of the SPDX list."""

VAGUE_NAMES: Mapping[str, Family] = {
    "BSD License": "permissive",
    "Zope Public License": "permissive",
    "GNU Affero General Public License v3 or later": "strong copyleft",
    "GNU General Public License (GPL)": "strong copyleft",
    "GNU Library or Lesser General Public License (LGPL)": "weak copyleft",
    "Common Development and Distribution License 1.0 (CDDL-1.0)": "weak copyleft",
}
"""The names in classifiers that leave the very licence open, but not its family."""

SAYS_NOTHING = frozenset({"OSI Approved", "DFSG approved"})

Basis = Literal[
    "SPDX expression", "SPDX in the License field", "classifier", "free text",
    "licence file only", "nothing",
]  # fmt: skip


class Licence(NamedTuple):
    """A licence as concluded: what to show, its family, its grounds, and the facts they rest on."""

    shown: str
    family: Family
    basis: Basis
    predicates: Sequence[str] = ()


def conclude(declared: Mapping[str, Sequence[str]]) -> Licence:
    """Return the licence of a distribution from its facts, by predicate."""
    for expression in declared.get("licence-expression", ()):
        return _expression(expression)
    names = [name.rsplit("::", 1)[-1].strip() for name in declared.get("licence-classifier", ())]
    names = [name for name in dict.fromkeys(names) if name not in SAYS_NOTHING]
    text = next(iter(declared.get("licence-text", ())), None)
    if text is not None and family(text) is not None:
        return _spdx_text(text, names)
    if names:
        return _classifiers(names)
    if text is not None:
        return Licence(text, _family_of_name(text), "free text", ("licence-text",))
    return _undeclared(declared)


def _undeclared(declared: Mapping[str, Sequence[str]]) -> Licence:
    grounds = ("licence-none", "licence-classifier", "licence-file")
    if declared.get("licence-file"):
        shown = "no licence metadata, ships a licence file"
        return Licence(shown, "unknown", "licence file only", grounds)
    readable = any(declared.get(predicate) for predicate in grounds)
    shown = "no licence metadata" if readable else "not known: its metadata could not be read"
    return Licence(shown, "unknown", "nothing", grounds)


def _expression(expression: str) -> Licence:
    found = family(expression)
    shown = _canonical(expression) or f"{expression} (not a valid SPDX expression)"
    return Licence(shown, found or "other", "SPDX expression", ("licence-expression",))


def _spdx_text(text: str, names: Sequence[str]) -> Licence:
    """Return the licence of a License field that is SPDX, unless classifiers contradict it."""
    shown, found = _canonical(text) or text, family(text) or "other"
    stricter = [name for name in names if _strictness(_family_of_name(name)) > _strictness(found)]
    if not stricter:
        return Licence(shown, found, "SPDX in the License field", ("licence-text",))
    return Licence(
        f"{shown}, but its classifiers say {' and '.join(stricter)}",
        max((_family_of_name(name) for name in stricter), key=_strictness),
        "SPDX in the License field",
        ("licence-text", "licence-classifier"),
    )


def _classifiers(names: Sequence[str]) -> Licence:
    """Return the licence that classifiers name.

    How several combine they do not say, so the strictest counts.
    """
    shown = " and/or ".join(NAMES.get(name, name) for name in names)
    strictest = max((_family_of_name(name) for name in names), key=_strictness)
    return Licence(shown, strictest, "classifier", ("licence-classifier",))


def _family_of_name(name: str) -> Family:
    return family(NAMES.get(name, "")) or VAGUE_NAMES.get(name, "other")


def family(expression: str) -> Family | None:
    """Return the family of an SPDX expression, or None if it is none.

    Of OR the mildest part counts, as one may choose; of AND the strictest, as all hold.
    """
    canonical = _canonical(expression)
    return None if canonical is None else _any_of(canonical)


def _canonical(expression: str) -> str | None:
    try:
        return str(canonicalize_license_expression(expression))
    except (InvalidLicenseExpression, RecursionError, MemoryError):
        return None


def _any_of(expression: str) -> Family:
    return min((_all_of(part) for part in _split(expression, "OR")), key=_strictness)


def _all_of(expression: str) -> Family:
    return max((_one(part) for part in _split(expression, "AND")), key=_strictness)


def _split(expression: str, operator: str) -> list[str]:
    """Split at an operator that stands outside parentheses."""
    parts, depth, start = [], 0, 0
    for match in re.finditer(rf"\(|\)| {operator} ", expression):
        found = match.group()
        depth += (found == "(") - (found == ")")
        if depth == 0 and found.strip() == operator:
            parts.append(expression[start : match.start()].strip())
            start = match.end()
    return [*parts, expression[start:].strip()]


def _one(expression: str) -> Family:
    if expression.startswith("("):
        return _any_of(expression[1:-1])
    licence, _, exception = expression.partition(" WITH ")
    if licence.removesuffix("+") in PERMISSIVE:
        return "permissive"
    if WEAK_COPYLEFT.match(licence):
        return "weak copyleft"
    if STRONG_COPYLEFT.match(licence):
        return "weak copyleft" if LINKING_EXCEPTION.match(exception) else "strong copyleft"
    return "other"


def _strictness(name: Family) -> int:
    return STRICTNESS.index(name)
