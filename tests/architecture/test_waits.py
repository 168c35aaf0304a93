"""No test depends on how fast something runs: waits have time for a machine under load, and no time is asserted. None
changes what other threads of its process see."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from functools import cache
from pathlib import Path

from tests.waiting import TIMEOUT_S

ROOT = Path(__file__).parents[2]
#: Seconds: a wait that is to end in vain is at most the first; one that is to succeed lasts at least the second.
IN_VAIN_S, LEAST_S = 0.5, TIMEOUT_S
#: Calls whose first or second positional argument is a number of seconds.
WAITS = {"wait": 0, "join": 0, "result": 0, "exception": 0, "timeout": 0, "wait_for": 1}
#: These give up after five seconds, unless a timeout is given.
HTTPX = {f"httpx.{name}" for name in ("get", "post", "request", "stream", "Client", "AsyncClient")}
CLOCKS = {"monotonic", "perf_counter"}
#: Modules that the threads of every server and client use.
OF_ALL_THREADS = {"asyncio", "os", "select", "selectors", "signal", "socket", "sqlite3", "ssl", "threading", "time"}
#: These ask again when they had no answer, and the last one pauses.
ASK_AGAIN = {
    "tests/kafka/apicurio.py",
    "tests/kafka/test_alertmanager.py",
    "tests/faults/deployment.py",
    "tests/faults/readers.py",
}
FILES = [path for path in sorted((ROOT / "tests").rglob("*.py")) if "providers" not in path.parts]


@cache
def parsed(path: Path) -> ast.AST:
    """Of a file: parsing all tests takes seconds."""
    return ast.parse(path.read_text(encoding="utf-8"))


def short_waits(tree: ast.AST) -> Iterator[tuple[int, float]]:
    """Line and seconds of each wait that a busy machine could miss."""
    for call in (node for node in ast.walk(tree) if isinstance(node, ast.Call)):
        name = call.func.attr if isinstance(call.func, ast.Attribute) else getattr(call.func, "id", "")
        given = [each.value for each in call.keywords if each.arg == "timeout"]
        if ast.unparse(call.func) in HTTPX and "timeout" not in {each.arg for each in call.keywords}:
            yield call.lineno, 5.0
        place = WAITS.get(name)
        if place is not None and isinstance(call.func, ast.Attribute) and len(call.args) == place + 1:
            given.append(call.args[place])
        for each in given:
            seconds = each.value if isinstance(each, ast.Constant) else None
            if type(seconds) in (int, float) and IN_VAIN_S < seconds < LEAST_S:
                yield call.lineno, seconds


def asserted_times(tree: ast.AST) -> Iterator[int]:
    """Lines of assertions that compare what a clock says with a number."""
    for check in (node for node in ast.walk(tree) if isinstance(node, ast.Assert)):
        for compared in (node for node in ast.walk(check.test) if isinstance(node, ast.Compare)):
            numbers = [each for each in (compared.left, *compared.comparators) if isinstance(each, ast.Constant)]
            asked = {each.attr for each in ast.walk(compared) if isinstance(each, ast.Attribute)}
            if numbers and asked & CLOCKS:
                yield check.lineno


def changed_modules(tree: ast.AST) -> Iterator[int]:
    """Lines that replace a part of a standard module that the threads of servers use."""
    for call in (node for node in ast.walk(tree) if isinstance(node, ast.Call)):
        if isinstance(call.func, ast.Attribute) and call.func.attr in ("setattr", "delattr") and call.args:
            target = call.args[0]
            # "streams.lines.os.read" is set in os, not in streams.lines.
            owners = str(target.value).split(".")[:-1] if isinstance(target, ast.Constant) else _names(target)
            if not OF_ALL_THREADS.isdisjoint(owners):
                yield call.lineno


def _names(target: ast.expr) -> list[str]:
    """Of a module, or of what is in one."""
    return ast.unparse(target).split(".")


def test_waits_have_time_for_a_machine_under_load() -> None:
    found = {
        f"{path.relative_to(ROOT)}:{line}": seconds
        for path in FILES
        if str(path.relative_to(ROOT)) not in ASK_AGAIN
        for line, seconds in short_waits(parsed(path))
    }
    assert found == {}, "use TIMEOUT_S, wait or until of tests/waiting.py"


def test_no_assertion_is_about_the_time_that_something_took() -> None:
    asking = (path for path in FILES if any(clock in path.read_text(encoding="utf-8") for clock in CLOCKS))
    found = [f"{path.relative_to(ROOT)}:{line}" for path in asking for line in asserted_times(parsed(path))]
    assert found == [], "wait for the state, then assert what holds for ever after"


def test_no_test_changes_a_standard_module_for_every_thread() -> None:
    """A test that set the clock back kept the event loop of another test's server waiting for hours."""
    found = [f"{path.relative_to(ROOT)}:{line}" for path in FILES for line in changed_modules(parsed(path))]
    assert found == [], "set a copy (tests/standard_modules.py) as an attribute of the module under test"


def test_a_change_of_a_standard_module_is_noticed() -> None:
    tree = ast.parse(
        'p.setattr(time, "x", 1)\np.setattr("os.x", 1)\np.setattr(own, "time", 1)\np.setattr(os.path, "x", 1)\n'
        'p.setattr("own.time", 1)\np.setattr("own.time.x", 1)\np.setattr(own.time, "x", 1)'
    )
    assert list(changed_modules(tree)) == [1, 2, 4, 6, 7]


def test_a_short_wait_and_an_asserted_time_are_noticed() -> None:
    tree = ast.parse("event.wait(5)\nget(url, timeout=10)\ne.wait(0.05)\ne.wait(TIMEOUT_S)\nrun(x, timeout=600)")
    assert list(short_waits(tree)) == [(1, 5), (2, 10)]
    assert list(short_waits(ast.parse("httpx.get(url)\nhttpx.get(url, timeout=TIMEOUT_S)"))) == [(1, 5)]
    tree = ast.parse("assert time.monotonic() - began < 2\nassert time.monotonic() < deadline\nassert took < 5")
    assert list(asserted_times(tree)) == [1]
