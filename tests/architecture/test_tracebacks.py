"""`exc_info=True` means the exception that is being handled: outside an `except` there is none, and the log has no
traceback."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

from test_layers import MODULES, parsed, wrong_in


def _logged_elsewhere(node: ast.AST) -> Iterator[int]:
    """Lines outside `except` blocks that log an exception without naming it."""
    for child in ast.iter_child_nodes(node):
        if isinstance(child, ast.Call):
            given = [each.value for each in child.keywords if each.arg == "exc_info"]
            is_text = [isinstance(each, ast.Constant | ast.JoinedStr) for each in child.args]  # not that of a Future
            logs_one = getattr(child.func, "attr", "") == "exception" and is_text[:1] == [True]
            if any("error" not in ast.unparse(each) for each in given) or (logs_one and not given):
                yield child.lineno
        if not isinstance(child, ast.ExceptHandler):
            yield from _logged_elsewhere(child)


def test_a_log_outside_an_except_block_names_its_error() -> None:
    def lines(path: Path) -> list[int]:
        text = path.read_text(encoding="utf-8")
        return list(_logged_elsewhere(parsed(path))) if "exc_info" in text or ".exception(" in text else []

    assert wrong_in(MODULES, lines) == {}, "exc_info=error"


def test_a_log_that_names_no_error_is_noticed() -> None:
    tree = ast.parse(
        "log.error('a', exc_info=True)\nlog.error('a', exc_info=odd)\nlog.error('a', exc_info=error)\n"
        "log.exception('a')\nfuture.exception()\ntry: f()\nexcept E: log.error('a', exc_info=True)"
    )
    assert list(_logged_elsewhere(tree)) == [1, 2, 4]
