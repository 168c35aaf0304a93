"""One thing has one name: retired words stay out of identifiers, and a public class name exists in one package only.

The words are those of docs/glossary.md. A part of an identifier is a word of `snake_case` or `CamelCase`.
"""

from __future__ import annotations

import ast
import re
from collections import defaultdict
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import NamedTuple

import pytest

ROOT = Path(__file__).resolve().parents[2]
PRODUCT = ("streams", "agents", "board", "connect", "cli", "bench", "examples")
MODULES = sorted(
    path for package in PRODUCT for path in (ROOT / package).rglob("*.py") if "__pycache__" not in path.parts
)

#: Retired parts of identifiers, one or several in a row, and what to write instead.
RETIRED = {
    # runtime
    "shard": "task",
    "shards": "tasks",
    "inbox": "record_queue",
    "turns": "scheduler",
    "turned": "request_rejected",
    "pace": "commit_interval",
    "rests": "commit_interval",
    "can_wait": "background",
    "patience": "retry_policy, or timeout",
    "horizon": "stream_time, or limit",
    "horizons": "time_limits",
    "life": "run_loop",
    "lives": "restarts",
    "sealed": "full",
    "silent": "offsets_only",
    "acts": "timers",
    "ripe": "due",
    "not_yet": "retry_later",
    "mark": "watermark, or tombstone",
    "marks": "watermarks",
    "marked": "watermark",
    # core
    "book": "incident_store",
    "shelf": "incident_cache",
    "kept": "stored, or retained",
    "at_hand": "cached",
    "put_back": "evict",
    "woken": "loaded",
    "said": "published",
    "reporter": "output_builder",
    "running_clocks": "sla_clocks",
    "bare": "redacted",
    "lean": "without_texts",
    "learn": "apply_contract",
    "know": "restore_contract",
    "held": "deferred, or reserved",
    "quiet": "backfill_idle",
    "weigh": "compute_month",
    "weighed": "month_result",
    "recount": "recomputation",
    "recounted": "recomputed",
    "renaming": "tenant_erasure",
    "renamed": "erased",
    # edges
    "gate": "ingress",
    "refuse": "reject",
    "enclose": "wrap",
    "disclose": "unwrap",
    "perhaps": "nullable",
    "misfit": "schema_mismatch",
    "hear": "apply_contract_fact",
    "let_pass": "fire_timers",
    "arrivals": "replay_clock",
    "left_aside": "ignored_by_rule",
    "going_on": "still_firing",
    "lane": "destination_worker",
    "lanes": "destination_workers",
    "notice": "page_trigger",
    "notices": "page_triggers",
    "pulse": "stall_detector",
    "farewell": "shutdown",
    "told": "message, or reported",
}
#: Class names that are retired as a whole; as a part of a longer name each may be right.
RETIRED_CLASSES = {
    "Kept": "StoredIncident",
    "Clock": "TimeSource, or SlaClock",
    "Entry": "PublishedEntry",
    "Given": "SubmittedStatement",
    "Stated": "StatementState",
    "Closing": "MonthClose, or WaitingClose",
    "Lane": "DestinationWorker",
    "Passed": "TimeAdvance",
    "Many": "Array",
    "Whole": "Integer",
    "Truth": "Boolean",
    "Real": "Double",
}
#: Identifiers that may have a retired part, each with the reason.
ALLOWED = {
    "lateness_horizon": "the setting SLA_LATENESS_HORIZON",
    "mark_every": "the setting SLA_MARK_EVERY",
    "_mark_every": "the setting SLA_MARK_EVERY",
    "backfill_quiet": "the setting SLA_BACKFILL_QUIET",
    "_backfill_quiet": "the setting SLA_BACKFILL_QUIET",
    "incidents_at_hand": "the setting SLA_INCIDENTS_AT_HAND",
    "held_bytes": "the metric sla_intake_held_bytes",
    "INTAKE_HELD": "the metric sla_intake_held_bytes",
    "mark": "PyYAML's name of a position in a file",
    "_Mark": "PyYAML's name of a position in a file",
    "notice": "the policy key maintenance.notice (R23)",
    "maintenance_notice": "the policy key maintenance.notice (R23)",
    "notices": "warnings and reminders of a clock (R9, R10)",
    "_notices": "warnings and reminders of a clock (R9, R10)",
    "_add_notice": "warnings and reminders of a clock (R9, R10)",
    "NoticeEntry": "warnings and reminders of a clock (R9, R10)",
    "quiet": "the usual name of an option that prints less",
    "turns": "`sla bench turns` is a command",
    "TURNS": "`sla bench turns` is a command",
}


class Identifier(NamedTuple):
    """A name that a module defines, and where."""

    name: str
    path: Path
    line: int
    is_class: bool = False


def parts(name: str) -> list[str]:
    """`RecordQueue`, `record_queue`, `RECORD_QUEUE` → record, queue."""
    return [part.lower() for part in re.findall(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+|\d+", name)]


@cache
def parsed(path: Path) -> ast.Module:
    return ast.parse(path.read_text(encoding="utf-8"), str(path))


@cache
def identifiers(path: Path) -> tuple[Identifier, ...]:
    """Names of the module itself, its classes, functions, parameters, variables and attributes. Looking at all modules
    takes seconds, and two tests do."""
    return tuple(_identifiers(path))


def _identifiers(path: Path) -> Iterator[Identifier]:
    yield Identifier(path.stem, path, 1)
    for node in ast.walk(parsed(path)):
        match node:
            case ast.ClassDef(name=name):
                yield Identifier(name, path, node.lineno, is_class=True)
            case ast.FunctionDef(name=name) | ast.AsyncFunctionDef(name=name):
                yield Identifier(name, path, node.lineno)
                arguments = node.args
                for each in (*arguments.posonlyargs, *arguments.args, *arguments.kwonlyargs):
                    yield Identifier(each.arg, path, each.lineno)
            case ast.Attribute(attr=name, value=ast.Name(id="self"), ctx=ast.Store()):
                yield Identifier(name, path, node.lineno)
            case ast.Name(id=name, ctx=ast.Store()):
                yield Identifier(name, path, node.lineno)


@cache
def retired_word(name: str) -> str | None:
    """The retired word in a name, with its replacement; most names are in many modules."""
    joined = f"_{'_'.join(parts(name))}_"
    return next((f"{word} → {replacement}" for word, replacement in RETIRED.items() if f"_{word}_" in joined), None)


def retired(identifier: Identifier) -> str | None:
    """The retired word in an identifier, with its replacement."""
    if (word := retired_word(identifier.name)) is not None:
        return word
    if identifier.is_class and identifier.name in RETIRED_CLASSES:
        return f"{identifier.name} → {RETIRED_CLASSES[identifier.name]}"
    return None


def found(path: Path) -> list[str]:
    return sorted(
        {
            f"{path.relative_to(ROOT)}:{each.line} {each.name}: {word}"
            for each in identifiers(path)
            if each.name not in ALLOWED and (word := retired(each)) is not None
        }
    )


def test_no_identifier_has_a_retired_word() -> None:
    assert [each for path in MODULES for each in found(path)] == []


#: Public class names that two packages have, each with the reason. Everywhere else one name means one thing.
SHARED_CLASSES: dict[str, str] = {}


def test_a_public_class_name_is_in_one_package() -> None:
    packages: defaultdict[str, set[str]] = defaultdict(set)
    for path in MODULES:
        for node in parsed(path).body:
            if isinstance(node, ast.ClassDef) and not node.name.startswith("_"):
                packages[node.name].add(str(path.parent.relative_to(ROOT)))
    shared = {name: sorted(where) for name, where in packages.items() if len(where) > 1}
    assert {name: where for name, where in shared.items() if name not in SHARED_CLASSES} == {}


def test_exceptions_are_still_needed() -> None:
    """An exception of a name that is gone would hide the next one."""
    names = {each.name for path in MODULES for each in identifiers(path)}
    assert sorted({*ALLOWED, *SHARED_CLASSES} - names) == []


@pytest.mark.parametrize(
    "name", ["IncidentShelf", "put_back", "_lane", "SHARD_COUNT", "inbox", "time_mark", "RunningClocks"]
)
def test_a_retired_word_is_recognised(name: str) -> None:
    assert retired(Identifier(name, ROOT, 1)) is not None


@pytest.mark.parametrize("name", ["RecordQueue", "backlog", "watermark", "bookmark_free", "StreamTask", "planes"])
def test_a_word_that_only_contains_a_retired_one_is_not(name: str) -> None:
    assert retired(Identifier(name, ROOT, 1)) is None
