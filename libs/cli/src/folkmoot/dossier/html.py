"""The report as one HTML file that needs nothing else: no network, no other file.

Everything that comes from metadata is escaped: anybody can write into a package's metadata. Should
that ever fail, the page's own policy lets no script run but the one that is written here.
"""

from __future__ import annotations

from base64 import b64encode
from collections.abc import Iterable, Mapping
from hashlib import sha256
from html import escape
from importlib import resources

from folkmoot.dossier.drawing import family_class
from folkmoot.dossier.licences import FAMILIES
from folkmoot.dossier.markdown import left_out
from folkmoot.dossier.models import Analysis, Citation, Finding, Package
from folkmoot.dossier.report import Claim, Report, Row, Section
from folkmoot.dossier.text import ranges, size_text

COLUMNS = (
    "package", "version", "licence", "size", "needed by", "reaches", "sources",
)  # fmt: skip


def render(report: Report) -> str:
    """Return the report as a page."""
    script = _asset("report.js")
    return f"""<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta http-equiv="Content-Security-Policy" content="{escape(_policy(script))}">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>{escape(report.title)}</title>
<style>{_asset("report.css")}</style>
</head>
<body>
<header>
<h1>{escape(report.title)}</h1>
<p class="lead">{escape(report.overview)}</p>
{_tiles(report.analysis)}
{_families(report.analysis.families)}
</header>
<main>
<section><h2>What to know</h2>
<ol class="findings">{"".join(map(_finding, report.findings))}</ol></section>
{_picture(report)}
<div class="columns">{"".join(map(_section, report.sections))}</div>
{_table(report)}
{_sources(report)}
</main>
<footer>Written by Folkmoot. Every number in a pill leads to a source; all of them were read a
second time before this report was handed over.</footer>
<script>{script}</script>
</body>
</html>
"""


def _asset(name: str) -> str:
    return (resources.files("folkmoot.dossier") / name).read_text(encoding="utf-8")


def _policy(script: str) -> str:
    digest = b64encode(sha256(script.encode()).digest()).decode()
    return f"default-src 'none'; style-src 'unsafe-inline'; script-src 'sha256-{digest}'"


def _tiles(analysis: Analysis) -> str:
    unmet, review = len(analysis.unmet), len(analysis.to_review)
    tiles = (
        (str(len(analysis.packages)), "distributions", ""),
        (size_text(analysis.bytes), "installed", ""),
        (str(len(analysis.native)), "with native code", ""),
        (str(unmet), "requirements not met", "bad" if unmet else "good"),
        (str(review), "licences to look at", "look" if review else "good"),
    )
    return f'<div class="tiles">{"".join(_tile(*tile) for tile in tiles)}</div>'


def _tile(figure: str, label: str, mood: str) -> str:
    return f'<div class="{mood}"><b>{escape(figure)}</b><span>{escape(label)}</span></div>'


def _families(families: Mapping[str, int]) -> str:
    """Return a bar of the licences' families, which is the picture's legend as well."""
    present = [family for family in FAMILIES if families.get(family)]
    parts = "".join(
        f'<i class="{family_class(family)}" style="flex-grow:{families[family]}"></i>'
        for family in present
    )
    names = "".join(
        f'<li><i class="dot {family_class(family)}"></i>{family} <b>{families[family]}</b></li>'
        for family in present
    )
    return f'<div class="families"><div class="bar">{parts}</div><ul>{names}</ul></div>'


def _finding(finding: Finding) -> str:
    return f"<li><p>{escape(finding.sentence)}{_references(finding.citations)}</p></li>"


def _references(numbers: Iterable[int]) -> str:
    links = "".join(
        f'<a href="#s{first}">{first if first == last else f"{first}–{last}"}</a>'  # noqa: RUF001
        for first, last in ranges(numbers)
    )
    return f' <span class="refs">{links}</span>' if links else ""


def _picture(report: Report) -> str:
    if not report.picture.svg:
        return ""
    legend = "".join(
        f'<span><i class="dot {family_class(family)}"></i>{family}</span>'
        for family in FAMILIES
        if any(package.family == family for package in report.picture.packages)
    )
    return f"""<section><h2>What needs what</h2>
<p class="note">The heaviest part of the requirement graph, {len(report.picture.packages)} of
{len(report.analysis.packages)} packages. An edge leads from a package to what it needs; a dashed
one is of an extra that no package asks for. What a longer way says already is left out.
{_references(report.picture_citations)}</p>
<figure><div class="scroll">{report.picture.svg}</div>
<figcaption>{legend}<span>Area: size on disk</span></figcaption></figure></section>"""


def _section(section: Section) -> str:
    claims = "".join(map(_claim, section.claims))
    body = f"<ul>{claims}</ul>" if claims else f'<p class="note">{escape(section.if_none)}</p>'
    return f"<section><h2>{escape(section.title)}</h2>{body}</section>"


def _claim(claim: Claim) -> str:
    return (
        f"<li><b>{escape(claim.subject)}</b> {escape(claim.says)}"
        f"{_references(claim.citations)}</li>"
    )


def _table(report: Report) -> str:
    heads = "".join(f"<th><button>{heading}</button></th>" for heading in COLUMNS)
    largest = max((package.bytes or 0 for package in report.analysis.packages), default=0)
    rows = "".join(_row(row, largest or 1) for row in report.rows)
    return (
        '<section><h2>All packages</h2><input type="search" placeholder="Filter by any word" '
        f'aria-label="Filter the table"><div class="scroll"><table><thead><tr>{heads}</tr></thead>'
        f"<tbody>{rows}</tbody></table></div></section>"
    )


def _row(row: Row, largest: int) -> str:
    package = row.package
    share = 100 * (package.bytes or 0) / largest
    cells = (
        f"<td><b>{escape(package.name)}</b><small>{escape(package.summary)}</small></td>"
        f"<td>{escape(package.version)}{_tags(package)}</td>"
        f'<td><i class="dot {family_class(package.family)}"></i>{escape(package.licence)}'
        f"<small>{package.family}, by {package.basis}</small></td>",
        f'<td class="size" data-sort="{package.bytes or 0}">{size_text(package.bytes)}'
        f'<i style="width:{share:.1f}%"></i></td>',
        f"<td>{package.dependants}</td><td>{package.reach}</td>"
        f"<td>{_references(row.citations)}</td>",
    )
    return f"<tr>{''.join(cells)}</tr>"


def _tags(package: Package) -> str:
    tags = [("native", package.native > 0), ("editable", package.editable)]
    return "".join(f' <span class="tag">{tag}</span>' for tag, holds in tags if holds)


def _sources(report: Report) -> str:
    more = f'<p class="note">{left_out(report.left_out)}</p>' if report.left_out else ""
    listed = "".join(map(_source, report.citations))
    return f'<section><h2>Sources</h2>{more}<ol class="sources">{listed}</ol></section>'


def _source(citation: Citation) -> str:
    return (
        f'<li id="s{citation.number}"><code>{escape(citation.source)}</code>'
        f"<span>{escape(citation.subject)}: {escape(citation.predicate)} "
        f"<q>{escape(str(citation.value))}</q></span></li>"
    )
