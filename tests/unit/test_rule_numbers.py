"""Every rule that docs/semantics.md lists is carried by the code that does it and by a test that shows it."""

from __future__ import annotations

import ast
import re
import tokenize
from collections.abc import Iterable
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
#: `R7`, also in `R7, R8`; or a range like `R30–R32`, which the documentation may write but a test has to spell out.
NUMBER = re.compile(r"\bR([1-9][0-9]?)\b")
RANGE = re.compile(r"\bR([1-9][0-9]?)–R?([1-9][0-9]?)\b")
IN_NAME = re.compile(r"(?<=_)r([1-9][0-9]?)(?=_|$)")


def numbers(text: str) -> set[int]:
    return {int(number) for number in NUMBER.findall(text)}


def listed() -> list[int]:
    """The rules that the documentation's rows and ranges name."""
    text = (ROOT / "docs" / "semantics.md").read_text(encoding="utf-8")
    rows = {number for cell in re.findall(r"^\| *(R[^|]*)\|", text, re.MULTILINE) for number in numbers(cell)}
    ranges = [range(int(first), int(last) + 1) for first, last in RANGE.findall(text)]
    return sorted(rows.union(*ranges))


def said_by_tests(path: Path) -> set[int]:
    """The numbers in the names and docstrings of a file's tests; its own docstring speaks for them all."""
    found: set[int] = set()
    module = ast.parse(path.read_text(encoding="utf-8"), str(path))
    for node in ast.walk(module):
        if isinstance(node, ast.FunctionDef) and node.name.startswith("test_"):
            found |= {int(number) for number in IN_NAME.findall(node.name)} | numbers(ast.get_docstring(node) or "")
    return found | numbers(ast.get_docstring(module) or "")


def said_by_code(path: Path) -> set[int]:
    """The numbers in the docstrings and comments of a module."""
    with tokenize.open(path) as file:
        tokens = list(tokenize.generate_tokens(file.readline))
    return numbers("\n".join(t.string for t in tokens if t.type in {tokenize.COMMENT, tokenize.STRING}))


@cache
def shown() -> set[int]:
    files = set((ROOT / "tests").rglob("test_*.py")) - {Path(__file__)}
    return union(said_by_tests(path) for path in files)


@cache
def done() -> set[int]:
    return union(said_by_code(path) for path in (ROOT / "streams").rglob("*.py"))


def union(found: Iterable[set[int]]) -> set[int]:
    return set().union(*found)


def test_the_documentation_names_every_rule() -> None:
    """R1 to R32: none is forgotten below because nobody wrote of it."""
    assert sorted({*range(1, 33)} - {*listed()}) == []


@pytest.mark.parametrize("rule", listed(), ids="R{}".format)
def test_a_test_bears_the_number(rule: int) -> None:
    assert rule in shown(), f"no test under tests/ has R{rule} in its name (test_r{rule}_…) or docstring"


@pytest.mark.parametrize("rule", listed(), ids="R{}".format)
def test_a_module_bears_the_number(rule: int) -> None:
    assert rule in done(), f"no docstring or comment of a module under streams/ names R{rule}"
