"""The report as one HTML file that needs nothing else: no network, no other file.

Everything that comes from metadata is escaped: anybody can write into a package's metadata.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from html import escape
from importlib import resources

from folkmoot.dossier.citing import Citations
from folkmoot.dossier.drawing import COLOURS, NODES_MAX, draw
from folkmoot.dossier.findings import mebibytes
from folkmoot.dossier.markdown import title
from folkmoot.dossier.models import Analysis, Citation, Finding, Package, Problem


def render(analysis: Analysis, found: Sequence[Finding], cite: Citations) -> str:
    """Return the page. Citations made here are added to `cite`."""
    problems = _problems(analysis, cite)
    return f"""<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>{escape(title())}</title>
<style>{_asset("report.css")}</style>
</head>
<body>
<header>
<h1>{escape(title())}</h1>
<p class="lead">Every claim is numbered to its source, and each source was read a second time.</p>
</header>
<main>
{_tiles(analysis)}
<section><h2>What to know</h2><ol class="findings">{_findings(found)}</ol></section>
<section><h2>What needs what</h2>
<p>The heaviest part of the requirement graph, at most {NODES_MAX} packages. A circle's area is the
package's size, its colour the licence.</p>
<figure>{draw(analysis)}<figcaption>{_legend()}</figcaption></figure></section>
<section><h2>Requirements that are not met</h2>{problems}</section>
<section><h2>All packages</h2>{_table(analysis)}</section>
<section><h2>Sources</h2><ol class="sources">{_sources(cite.all)}</ol></section>
</main>
<script>{_asset("report.js")}</script>
</body>
</html>
"""


def _asset(name: str) -> str:
    return (resources.files("folkmoot.dossier") / name).read_text(encoding="utf-8")


def _tiles(analysis: Analysis) -> str:
    native = sum(package.native > 0 for package in analysis.packages)
    unmet = len(analysis.missing) + len(analysis.conflicts)
    look = sum(package.family != "permissive" for package in analysis.packages)
    tiles = (
        (str(len(analysis.packages)), "distributions"),
        (mebibytes(analysis.bytes), "installed"),
        (str(native), "with native code"),
        (str(unmet), "requirements not met"),
        (str(look), "licences to look at"),
    )
    return '<div class="tiles">' + "".join(_tile(*tile) for tile in tiles) + "</div>"


def _tile(figure: str, label: str) -> str:
    return f"<div><b>{escape(figure)}</b><span>{escape(label)}</span></div>"


def _findings(found: Iterable[Finding]) -> str:
    return "".join(
        f"<li>{escape(finding.sentence)}{_references(finding.citations)}</li>" for finding in found
    )


def _references(numbers: Iterable[int]) -> str:
    return "".join(f' <a class="ref" href="#s{n}">{n}</a>' for n in numbers)


def _legend() -> str:
    return "".join(
        f'<span><i style="background:{colour}"></i>{family}</span>'
        for family, colour in COLOURS.items()
    )


def _problems(analysis: Analysis, cite: Citations) -> str:
    problems = [*analysis.conflicts, *analysis.missing]
    if not problems:
        return "<p>None: every requirement that applies here is met.</p>"
    return "<ul>" + "".join(_problem(problem, cite) for problem in problems) + "</ul>"


def _problem(problem: Problem, cite: Citations) -> str:
    found = f"found {problem.found}" if problem.found else "not installed"
    return (
        f"<li><code>{escape(problem.package)}</code> needs "
        f"<code>{escape(problem.requirement)}</code>: {escape(found)}"
        f"{_references([cite.problem(problem)])}</li>"
    )


HEADINGS = ("package", "version", "licence", "family", "size", "needed by", "reaches")


def _table(analysis: Analysis) -> str:
    heads = "".join(f"<th><button>{heading}</button></th>" for heading in HEADINGS)
    rows = "".join(_row(package) for package in analysis.packages)
    return f'<div class="scroll"><table><thead><tr>{heads}</tr></thead><tbody>{rows}</tbody></table></div>'  # noqa: E501


def _row(package: Package) -> str:
    mark = f'<i style="background:{COLOURS[package.family]}"></i>'
    return (
        f'<tr><td title="{escape(package.summary)}">{escape(package.name)}</td>'
        f"<td>{escape(package.version)}</td><td>{escape(package.licence)}</td>"
        f"<td>{mark}{package.family}</td>"
        f'<td data-sort="{package.bytes}">{mebibytes(package.bytes)}</td>'
        f"<td>{package.dependants}</td><td>{package.reach}</td></tr>"
    )


def _sources(citations: Iterable[Citation]) -> str:
    return "".join(
        f'<li id="s{each.number}"><code>{escape(each.source)}</code> '
        f"<span>{escape(each.subject)}: {escape(each.predicate)} "
        f"{escape(str(each.value))}</span></li>"
        for each in citations
    )
