"""Conventions that a tool can check: layers, purity, sizes, ownership of package names."""

import ast
import re
import subprocess
import sys
from collections.abc import Callable, Iterable
from pathlib import Path

import pytest
from importlinter.cli import lint_imports

from streams.package_conflicts import PACKAGES, package_conflicts

ROOT = Path(__file__).resolve().parents[2]
MODULES = sorted(
    path
    for package in (*PACKAGES, "bench")
    for path in (ROOT / package).rglob("*.py")
    if "__pycache__" not in path.parts
)
CORE = [path for path in MODULES if path.is_relative_to(ROOT / "streams" / "sla")]
LONGEST = 350


def named(path: Path) -> str:
    return str(path.relative_to(ROOT))


def parsed(path: Path) -> ast.Module:
    return ast.parse(path.read_text(), named(path))


def imported(module: ast.AST) -> set[str]:
    names = {alias.name for node in ast.walk(module) if isinstance(node, ast.Import) for alias in node.names}
    return names | {node.module or "" for node in ast.walk(module) if isinstance(node, ast.ImportFrom)}


def test_import_contracts_hold(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.chdir(ROOT)
    # It would disable every logger there is so far, also those that other tests listen to.
    monkeypatch.setattr("importlinter.cli._configure_logging", lambda verbose: None)
    code = lint_imports(config_filename="pyproject.toml", no_cache=True)
    assert code == 0, capsys.readouterr().out


def wrong_in(paths: Iterable[Path], check: Callable[[Path], object]) -> dict[str, object]:
    """What a check finds, by file: one test for all files takes a tenth of what one for each does."""
    return {named(path): wrong for path in paths if (wrong := check(path))}


def test_the_core_imports_of_ours_only_itself() -> None:
    def foreign(path: Path) -> set[str]:
        ours = {name for name in imported(parsed(path)) if name.partition(".")[0] in PACKAGES}
        return {name for name in ours if not f"{name}.".startswith("streams.sla.")}

    assert wrong_in(CORE, foreign) == {}


def test_the_core_opens_nothing_and_prints_nothing() -> None:
    def called(path: Path) -> set[str]:
        names = {
            node.func.id for node in ast.walk(parsed(path)) if isinstance(node, ast.Call) and hasattr(node.func, "id")
        }
        return names & {"open", "print", "input", "exec", "eval", "__import__"}

    assert wrong_in(CORE, called) == {}


def test_the_first_line_says_what_a_module_is_for() -> None:
    def silent(path: Path) -> str | None:
        first = path.read_text().partition("\n")[0]
        return None if re.match(r'("""|#) ?\S.{10,}', first) else f"begins {first!r}"

    assert wrong_in(MODULES, silent) == {}


def test_modules_are_short() -> None:
    long = {named(path): length for path in MODULES if (length := len(path.read_text().splitlines())) >= LONGEST}
    assert long == {}


def test_no_app_is_made_by_an_import() -> None:
    """A module-level Faust app would be configured by whoever imports it first."""

    def made(path: Path) -> list[str]:
        body = parsed(path).body if "App(" in path.read_text() else []
        return [
            ast.unparse(node)
            for statement in body
            if not isinstance(statement, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef)
            for node in ast.walk(statement)
            if isinstance(node, ast.Call) and ast.unparse(node.func) in {"faust.App", "App"}
        ]

    assert wrong_in(MODULES, made) == {}


def test_nobody_else_owns_our_packages() -> None:
    assert package_conflicts() == []


def test_a_foreign_owner_is_found_and_named(monkeypatch: pytest.MonkeyPatch) -> None:
    owners = {"agents": ["sla_clocks", "other-agents"], "streams": ["sla-clocks"], "faust": ["faust-streaming"]}
    monkeypatch.setattr("streams.package_conflicts.packages_distributions", lambda: owners)
    (line,) = package_conflicts()
    assert "'other-agents'" in line
    assert "'agents'" in line


def test_every_package_found_by_setuptools_is_checked_for_ownership() -> None:
    roots = {path.parent.name for path in ROOT.glob("*/__init__.py") if path.parent.name != "tests"}
    assert roots - {"bench"} == set(PACKAGES)


CLOCKS = {
    "time.time": "import time\n\nSTARTED = time.time()\n",
    "time.time_ns": "from time import time_ns\n\nSTARTED = time_ns()\n",
    "datetime.now": "from datetime import UTC, datetime\n\nSTARTED = datetime.now(UTC)\n",
    "datetime.utcnow": "import datetime as d\n\nSTARTED = d.datetime.utcnow()\n",
    "random": "import random\n\nCHOSEN = random.random()\n",
}


@pytest.mark.parametrize("where", ["streams/sla/sample.py", "streams/sample.py", "agents/sample.py", "cli/sample.py"])
@pytest.mark.parametrize("what", sorted(CLOCKS))
def test_ruff_refuses_clocks_and_chance(where: str, what: str) -> None:
    command = [
        sys.executable,
        "-m",
        "ruff",
        "check",
        "--no-cache",
        "--stdin-filename",
        where,
        "--output-format=concise",
        "-",
    ]
    found = subprocess.run(command, input=CLOCKS[what], text=True, capture_output=True, cwd=ROOT, check=False)
    assert found.returncode == 1
    assert "TID251" in found.stdout


def test_only_the_clock_is_excused_from_the_ban() -> None:
    product = [path for path in MODULES if path.relative_to(ROOT).parts[0] in PACKAGES]
    excused = [named(path) for path in product if re.search(r"noqa:.*(TID251|DTZ)", path.read_text())]
    assert excused == ["streams/time_source.py"]


def test_no_two_test_files_outside_packages_have_one_name() -> None:
    """pytest imports them by their base name."""
    files = [path for path in (ROOT / "tests").rglob("test_*.py") if not (path.parent / "__init__.py").exists()]
    names = [path.name for path in files]
    assert sorted({name for name in names if names.count(name) > 1}) == []
