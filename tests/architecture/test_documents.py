"""Documents stay true: relative links resolve, and every module, program, command and file that they name
exists."""

from __future__ import annotations

import importlib.util
import re
from collections.abc import Callable, Iterator, Mapping
from functools import cache
from itertools import product
from pathlib import Path
from typing import Any

from cli.main import walk
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


#: Words of a paragraph, an item of a list or a cell of a table; more is a list, a table or a section of its own.
MOST_WORDS = 160


def test_paragraphs_of_guides_can_be_read_at_once() -> None:
    def long(path: Path) -> list[str]:
        lines = FENCED.sub("", path.read_text(encoding="utf-8")).splitlines()
        cells = [cell for line in lines for cell in (line.split(" | ") if line.startswith("|") else [line])]
        return [f"{len(cell.split())} words: {cell.strip()[:60]}" for cell in cells if len(cell.split()) > MOST_WORDS]

    assert wrong_in(lambda path: path.parent.name != "adr" and path.name != "topics.md" and long(path)) == {}


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


#: Names of other programs, and one that the code composes.
NOT_OURS = {
    *("exactly_once", "group_wait", "parentbased_traceidratio"),
    *("process_cpu_seconds_total", "process_max_fds", "process_open_fds"),
    "mapping_reloaded",
}
#: What a document shows of the command line, in the text or as a line of a block, such as `$ sla report --json`.
SHOWN = re.compile(
    r"`(?:[A-Z_]+=\S+ )*sla ([^`]+)`|^(?:\$ )?(?:[A-Z_]+=\S+ )*(?:\.venv/bin/)?sla ((?:.*\\\n)*.*)", re.MULTILINE
)


def test_commands_and_options_that_a_document_shows_exist() -> None:
    """The changelog alone may name what there was."""
    commands, found = dict(walk()), 0

    def absent(path: Path) -> list[str]:
        nonlocal found
        wrong = []
        for each in SHOWN.finditer(path.read_text(encoding="utf-8")):
            shown = (each[1] or each[2]).replace("\\|", "|").split(" # ")[0]
            for line in re.split(r" \| (?:\.venv/bin/)?sla ", shown):
                words = line.split(" | ")[0].split()
                if words[0] == "COMMAND" or words[0].startswith("--"):
                    continue
                found += 1
                wrong += [line for names in alternatives(words) if not exists(names, words, commands)]
        return wrong

    assert wrong_in(lambda path: path.name != "CHANGELOG.md" and absent(path)) == {}
    assert found > 300


def alternatives(words: list[str]) -> Iterator[tuple[str, ...]]:
    """The commands that words such as `policy check|show FILE` may mean: their first three words, one of each."""
    yield from product(*(word.split("|") for word in words[:3]))


def exists(names: tuple[str, ...], words: list[str], commands: Mapping[str, Any]) -> bool:
    """Whether the words are a command, with options and, if it is a group, nothing else."""
    known = [" ".join(names[:count]) for count in (1, 2, 3) if " ".join(names[:count]) in commands]
    if not known:
        return False
    command = commands[max(known, key=len)]
    options = {option for each in command.params for option in (*each.opts, *each.secondary_opts)}
    rest = words[len(max(known, key=len).split()) :]
    unknown = {word.split("=")[0] for word in rest if re.match(r"--[a-z]", word)} - options - {"--help"}
    is_group = bool(getattr(command, "commands", {}))
    return not unknown and not (is_group and rest and not rest[0].startswith("-") and rest != ["…"])


def test_names_with_underscores_that_operators_read_exist() -> None:
    """Log events, fields and reasons in the documents of operation: people alert on them and search for them."""
    code = names_in_code() + "".join(path.read_text(encoding="utf-8") for path in (ROOT / "schemas").rglob("*.avsc"))
    words = set(re.findall(r"\w+", code))

    def absent(path: Path) -> list[str]:
        quoted = "\n".join(re.findall(r"`([^`\n]+)`", path.read_text(encoding="utf-8")))
        return sorted(set(re.findall(r"(?<![\w./])(?!sla_)[a-z]+(?:_[a-z0-9]+)+(?![\w/.])", quoted)) - words - NOT_OURS)

    operation = {"operations.md", "guarantees.md", "intake.md", "notifications.md", "board.md", "sign-in.md"}
    assert wrong_in(lambda path: (path.name in operation or path.parent.name == "runbooks") and absent(path)) == {}


#: A default in the text, `SLA_X` (64 MiB) or `SLA_X` (P90D), and in a table, | `SLA_X` | `P90D` |.
STATED = re.compile(r"`(SLA_\w+)`(?: \(`?|[^\n|]*\| `?)([\d,.]+ (?:[KMG]iB|days|min(?:utes)?|h)\b|[\w,.]+)")
SIZES = {"KiB": 1 << 10, "MiB": 1 << 20, "GiB": 1 << 30}
SPANS = {"days": "P{}D", "min": "PT{}M", "minutes": "PT{}M", "h": "PT{}H"}


def value_of(stated: str) -> str | None:
    """A default as `docs/configuration.md` writes it; None for words, which are no default."""
    number, _, unit = stated.rstrip(",").replace(",", "").partition(" ")
    if re.fullmatch(r"[\d.]+", number):
        return str(int(number) * SIZES[unit]) if unit in SIZES else SPANS.get(unit, "{}").format(number)
    return number if re.fullmatch(r"P(?=.*\d)[\dTDHMS.]+", number) else None


def test_defaults_that_a_document_states_are_those_of_the_code() -> None:
    rows = re.findall(
        r"^\| `(SLA_\w+)`[^|]*\| `?([^|`]*)`? \|", (ROOT / "docs/configuration.md").read_text(), re.MULTILINE
    )
    defaults, found = dict(rows), 0

    def other(path: Path) -> list[str]:
        nonlocal found
        stated = [(name, value_of(each)) for name, each in STATED.findall(path.read_text(encoding="utf-8"))]
        given = [(name, value) for name, value in stated if value is not None and name in defaults]
        found += len(given)
        return [f"{name}: {value}, not {defaults[name]}" for name, value in given if value != defaults[name]]

    assert wrong_in(lambda path: path.name not in {"configuration.md", "CHANGELOG.md"} and other(path)) == {}
    assert found > 30
