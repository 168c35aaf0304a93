"""Documents stay true: relative links resolve, and every module, program and file that they name exists."""

from __future__ import annotations

import importlib.util
import re
from collections.abc import Callable
from functools import cache
from pathlib import Path

from streams.configuration.variables import KAFKA_PREFIX, check_variables
from streams.kafka.properties import property_of
from streams.package_conflicts import PACKAGES

ROOT = Path(__file__).resolve().parents[2]
DOCUMENTS = sorted(
    [
        *ROOT.glob("*.md"),
        *(ROOT / "docs").rglob("*.md"),
        *(ROOT / "deploy").rglob("*.md"),
    ]
)
FENCED = re.compile(r"^```.*?^```", re.MULTILINE | re.DOTALL)
LINK = re.compile(r"\]\(([^)\s]+)\)")
MODULE = re.compile(r"python -m ([a-z_][\w.]*\w)")
TREES = "|".join((*PACKAGES, "tests", "docs", "deploy", "examples", "policies", "bench"))
#: `streams/topics.py`, `tests/chaos`, `schemas/avro/`: a path from the root; any other path of a module is a mistake.
PATH = re.compile(rf"`((?:{TREES})/[^`\s]*|[\w./]+/\w+\.py)`")
#: Files that a reader of the document makes.
MADE_BY_THE_READER = {"policies/tour/1.yaml", "docs/adr/NNNN-what-was-decided.md"}


def named(path: Path) -> str:
    return str(path.relative_to(ROOT))


def anchors(text: str) -> set[str]:
    """The anchors of headings, as GitHub makes them."""
    headings = re.findall(r"^#+ +(.*)$", FENCED.sub("", text), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


def wrong_in(check: Callable[[Path], object]) -> dict[str, object]:
    """What a check finds, by document."""
    return {named(path): wrong for path in DOCUMENTS if (wrong := check(path))}


def test_relative_links_resolve() -> None:
    def broken(path: Path) -> list[str]:
        found = []
        for target in LINK.findall(FENCED.sub("", path.read_text(encoding="utf-8"))):
            if re.match(r"[a-z]+:", target):
                continue
            file, _, anchor = target.partition("#")
            to = path.parent / file if file else path
            if not to.exists() or (anchor and anchor not in anchors(to.read_text(encoding="utf-8"))):
                found.append(target)
        return found

    assert wrong_in(broken) == {}


def test_programs_and_files_that_a_document_names_exist() -> None:
    def absent(path: Path) -> list[str]:
        text = path.read_text(encoding="utf-8")
        modules = set(MODULE.findall(text)) - {"pip", "venv", "pytest", "bench.NAME"}
        paths = {name.rstrip("/") for name in PATH.findall(text)} - MADE_BY_THE_READER
        missing = [name for name in paths if not any(ROOT.glob(re.sub(r"<\w+>", "*", name)))]
        return sorted([*missing, *(name for name in modules if importlib.util.find_spec(name) is None)])

    assert wrong_in(absent) == {}


def test_the_documents_that_exist_are_linked_from_the_readme() -> None:
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    documents = {named(path) for path in (ROOT / "docs").glob("*.md")}
    assert sorted(name for name in documents if f"({name})" not in readme) == []


def test_each_decision_has_a_number_of_its_own() -> None:
    found = {}
    for path in sorted((ROOT / "docs" / "adr").glob("*.md")):
        number = int(path.name[:4])
        assert path.read_text(encoding="utf-8").startswith(f"# {number}. "), path.name
        assert found.setdefault(number, path.name) == path.name
    assert found


@cache
def names_in_code() -> str:
    """The text of every module of the product: where metrics and settings are declared."""
    return "\n".join(path.read_text(encoding="utf-8") for each in PACKAGES for path in (ROOT / each).rglob("*.py"))


def test_metrics_and_headers_that_a_document_names_exist() -> None:
    """`sla_task_records_total` is declared as "sla_task_records": prometheus_client adds `_total` to counters."""
    code = names_in_code()

    def absent(path: Path) -> list[str]:
        said = set(re.findall(r"\bsla_[a-z_]*[a-z]\b", path.read_text(encoding="utf-8")))
        return sorted(name for name in said if f'"{name.removesuffix("_total")}"' not in code)

    assert wrong_in(absent) == {}


def test_settings_that_a_document_names_exist() -> None:
    for path in DOCUMENTS:
        variables = set(re.findall(r"`(SLA_[A-Z_]*[A-Z])[`=]", path.read_text(encoding="utf-8")))
        check_variables(dict.fromkeys(variables, ""))
        for name in variables:
            if name.startswith(KAFKA_PREFIX):
                property_of(name.removeprefix(KAFKA_PREFIX))
