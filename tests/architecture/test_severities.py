"""A severity is data: one module names the severities, everything else derives from it."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest

from streams.package_conflicts import PACKAGES
from streams.sla.severity import SEVERITIES, by_severity

ROOT = Path(__file__).resolve().parents[2]
NAMED = re.compile(rf"\b({'|'.join(SEVERITIES)})\b")
#: Modules that may name a severity, and why.
ALLOWED = {
    "streams/sla/severity.py": "the one place",
    "connect/intake/web/openapi_examples.py": "an example of a request",
    "cli/demo/live.py": "tells what the demo's own policy file promises",
}


def names_of_severities(path: Path) -> list[str]:
    """Names and strings in a module that name a severity, docstrings aside."""
    source = path.read_text(encoding="utf-8")
    if not NAMED.search(source):
        return []
    tree = ast.parse(source)
    docstrings = {
        id(node.body[0].value)
        for node in ast.walk(tree)
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef)
        and node.body
        and isinstance(node.body[0], ast.Expr)
    }
    found = []
    for node in ast.walk(tree):
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in docstrings:
            text = node.value
        elif isinstance(node, ast.Name):
            text = node.id
        elif isinstance(node, ast.Attribute):
            text = node.attr
        else:
            continue
        if NAMED.search(text):
            found.append(f"line {node.lineno}: {text}")
    return found


def test_only_one_module_names_severities() -> None:
    modules = [path for package in PACKAGES for path in (ROOT / package).rglob("*.py")]
    naming = {str(path.relative_to(ROOT)): found for path in modules if (found := names_of_severities(path))}
    assert {name: found for name, found in naming.items() if name not in ALLOWED} == {}
    assert set(ALLOWED) == set(naming), "an exception that is not needed any more"


def test_a_value_per_severity_is_given_from_the_most_severe_on() -> None:
    assert list(by_severity(range(len(SEVERITIES))).values()) == list(range(len(SEVERITIES)))
    assert set(by_severity("x").values()) == {"x"}


@pytest.mark.parametrize("values", [("high", "low"), ("high", "low", "low", "low", "never")])
def test_the_last_value_is_that_of_all_severities_after_it(values: tuple[str, ...]) -> None:
    assert list(by_severity(values).values()) == ["high", *["low"] * (len(SEVERITIES) - 1)]
