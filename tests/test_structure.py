"""The rules of the house that a linter cannot see."""

import ast
import importlib.metadata
import re
from pathlib import Path

import pytest

from configs.version import VERSION

ROOT = Path(__file__).resolve().parent.parent
ORDER = (
    "configs",
    "schema",
    "data",
    "serving",
    "transform",
    "trainer",
    "components",
    "pipeline",
    "benchmarks",
)
"""Imports go leftwards only. Serving stands early: it knows a SavedModel folder and a protocol."""
SERVING_MAY_IMPORT = {
    "configs",
    "schema",
    "serving",
    "data.quality",
    "data.images",
    "data.signatures",
    "data.folders",
    "data.sources",
}
FILES = [path for name in ORDER for path in sorted((ROOT / name).rglob("*.py"))]


def imported_modules(path):
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield node.module


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(ROOT)))
def test_imports_point_one_way(path):
    package = path.relative_to(ROOT).parts[0]
    for module in imported_modules(path):
        top = module.split(".")[0]
        if top in ORDER:
            assert ORDER.index(top) <= ORDER.index(package), f"{path} imports {module}"
            if package == "serving":
                allowed = top in SERVING_MAY_IMPORT or module in SERVING_MAY_IMPORT
                assert allowed, f"{path} imports {module}"


def test_the_dag_fits_on_one_screen():
    tree = ast.parse((ROOT / "pipeline" / "pipeline.py").read_text())
    (function,) = [node for node in tree.body if isinstance(node, ast.FunctionDef)]
    docstring = function.body[0]
    assert function.end_lineno - docstring.end_lineno <= 80
    assert sum(isinstance(node, ast.If | ast.IfExp) for node in ast.walk(function)) <= 2


@pytest.mark.parametrize(
    "path", [p for p in FILES if p.name == "__init__.py"], ids=lambda p: str(p.relative_to(ROOT))
)
def test_packages_hold_a_docstring_and_nothing_else(path):
    (statement,) = ast.parse(path.read_text()).body
    assert isinstance(statement, ast.Expr)


CLOCKS = {"now", "today", "utcnow", "time", "monotonic", "perf_counter"}


def calls_at_import(tree):
    """Calls that run when a module is imported: not those in functions, but their defaults."""
    waiting = [tree]
    while waiting:
        node = waiting.pop()
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            waiting += [*node.decorator_list, node.args]
        elif not isinstance(node, ast.Lambda):
            waiting += ast.iter_child_nodes(node)
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute):
            yield node.func.attr, node.lineno


@pytest.mark.parametrize(
    "path", sorted((ROOT / "tests").rglob("*.py")), ids=lambda path: str(path.relative_to(ROOT))
)
def test_no_test_looks_at_the_clock_before_it_runs(path):
    # Collected at the beginning of the suite, it may run half an hour later.
    calls = calls_at_import(ast.parse(path.read_text()))
    assert [line for name, line in calls if name in CLOCKS] == []


def test_no_dependency_installs_a_package_named_like_ours():
    ours = set(ORDER) | {"explain", "monitoring", "tools"}
    for distribution in importlib.metadata.distributions():
        if distribution.metadata["Name"] != "loupe":
            tops = {file.parts[0] for file in distribution.files or [] if len(file.parts) > 1}
            assert not tops & ours, f"{distribution.metadata['Name']} installs {tops & ours}"


@pytest.mark.parametrize(
    ("home", "pattern"),
    [
        ("schema/features.py", r'"image/(?!(?:jpeg|png|webp|svg\+xml)?")'),
        ("configs/load.py", r"environ(\.get\(|\[[^\]]+\](?! =))|getenv|environ if "),
    ],
)
def test_feature_keys_and_the_environment_are_read_in_one_place(home, pattern):
    readers = [
        str(path.relative_to(ROOT)) for path in FILES if re.search(pattern, path.read_text())
    ]
    assert readers == [home]


def test_the_changelog_is_about_this_version():
    version = re.search(r'version="([^"]+)"', (ROOT / "setup.py").read_text()).group(1)
    newest = re.search(r"^## (\S+)", (ROOT / "CHANGELOG.md").read_text(), re.MULTILINE).group(1)
    assert newest == version == VERSION
