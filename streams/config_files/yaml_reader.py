"""Reads YAML with the place of every key, refusing what different YAML readers would read differently."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Protocol, Self, TypeVar

import yaml
from pydantic import BaseModel, ValidationError

from streams.config_files.problems import KeyPath, Place, PolicyError, Problem, dotted, problems_of

_Document = TypeVar("_Document", bound=BaseModel)
Loader = type[yaml.SafeLoader] | type[yaml.CSafeLoader]
#: libyaml's, which PyYAML's wheels include; the places of nodes are the same.
FAST_LOADER: Loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
LARGEST_BYTES = 1024 * 1024
EXPLAINED_CHARACTERS = 64 * 1024
MOST_PROBLEMS = 100
DEEPEST = 30
INTEGER = re.compile(r"[-+]?(0|[1-9][0-9]{0,17})")
NUMBER = re.compile(r"[-+]?[0-9]{1,17}(\.[0-9]{0,17})?([eE][-+]?[0-9]{1,3})?|[-+]?\.[0-9]{1,17}")


class WrittenNumber(float):
    """A number with a fraction, and how the file writes it: where a text is expected, 1.10 is not 1.1."""

    __slots__ = ("text",)

    def __new__(cls, text: str) -> Self:
        made = super().__new__(cls, text)
        made.text = text
        return made

    text: str


@dataclass(frozen=True, slots=True)
class Placed:
    """A document as plain values, the place of each key path, and what was wrong on the way."""

    data: object
    places: Mapping[KeyPath, Place]
    problems: tuple[Problem, ...]


class _Mark(Protocol):
    """A position in a file, line and column from 0; PyYAML's pure and compiled readers each have a type for it."""

    line: int
    column: int


class _Reader:
    def __init__(self, file: str) -> None:
        self.file = file
        self.places: dict[KeyPath, Place] = {}
        self.problems: list[Problem] = []

    def report(self, node: yaml.Node, path: KeyPath, what: str) -> None:
        place = _place(node.start_mark)
        self.problems.append(Problem(self.file, place, dotted(path), what))

    def value(self, node: yaml.Node, path: KeyPath) -> object:
        self.places.setdefault(path, _place(node.start_mark))
        if isinstance(node, yaml.MappingNode):
            return self.mapping(node, path)
        if isinstance(node, yaml.SequenceNode):
            return [self.value(item, (*path, index)) for index, item in enumerate(node.value)]
        return self.scalar(node, path) if isinstance(node, yaml.ScalarNode) else None

    def mapping(self, node: yaml.MappingNode, path: KeyPath) -> dict[str, object]:
        found: dict[str, object] = {}
        for key_node, value_node in node.value:
            key = key_node.value if isinstance(key_node, yaml.ScalarNode) else None
            if key is None:
                self.report(key_node, path, "a key has to be a word; allowed: a text")
                continue
            inner = (*path, key)
            kind = key_node.tag.rsplit(":", 1)[-1]
            if key in found:
                first = self.places[inner].line
                self.report(key_node, inner, f"this key is here twice, first in line {first}; allowed: once")
                continue
            if kind == "merge":
                self.report(key_node, inner, "merge keys are refused; allowed: the keys written out")
                continue
            if kind != "str":
                taken = KINDS.get(kind, kind)
                self.report(key_node, inner, f'some YAML readers take this key for {taken}; allowed: "{key}" in quotes')
            self.places[inner] = _place(key_node.start_mark)
            found[key] = self.value(value_node, inner)
        return found

    def scalar(self, node: yaml.ScalarNode, path: KeyPath) -> object:
        text, kind = str(node.value), node.tag.rsplit(":", 1)[-1]
        if kind in {"str", "timestamp"}:
            return text
        if kind == "null":
            return None
        if kind == "bool" and text.lower() in {"true", "false"}:
            return text.lower() == "true"
        if kind == "int" and INTEGER.fullmatch(text):
            return int(text)
        if kind == "float" and NUMBER.fullmatch(text):
            return WrittenNumber(text)
        if kind == "bool":
            same = "true" if text.lower() in {"yes", "on"} else "false"
            self.report(node, path, f'some YAML readers take {text} for {same}; allowed: {same}, or "{text}" in quotes')
        elif ":" in text:
            self.report(node, path, f'some YAML readers take {text} for a number; allowed: "{text}" in quotes')
        elif kind in KINDS:
            self.report(node, path, f'{text} is an unusual number; allowed: plain decimals, or "{text}" in quotes')
        else:
            self.report(node, path, f"the tag {node.tag} is refused; allowed: plain values")
        return text


KINDS = {"bool": "true or false", "int": "a number", "float": "a number", "null": "nothing", "timestamp": "a date"}


def read_placed(path: Path) -> Placed:
    """The document of a file. What can't be read at all is one problem. Raises OSError when the file is not there."""
    return placed_in(path.read_bytes(), str(path))


def placed_in(raw: bytes, file: str) -> Placed:
    """The document in the content of a file; problems name `file`."""
    if len(raw) > LARGEST_BYTES:
        return _unreadable(file, Place(1, 1), f"the file has {len(raw)} bytes; allowed: at most {LARGEST_BYTES}")
    try:
        text = raw.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = raw.count(b"\n", 0, error.start) + 1
        return _unreadable(file, Place(line, 1), "this is not UTF-8; allowed: UTF-8 text")
    if (control := yaml.reader.Reader.NON_PRINTABLE.search(text)) is not None:
        line = text.count("\n", 0, control.start()) + 1
        return _unreadable(file, Place(line, 1), f"it holds the control character #x{ord(control.group()):04x}")
    try:
        return _placed(file, text, FAST_LOADER)
    except yaml.MarkedYAMLError as error:
        return _not_yaml(file, text, error)
    except ValueError as error:  # the pure reader raises it for an escape beyond Unicode
        return _unreadable(file, Place(1, 1), f"this is not YAML: {error}")


def _placed(file: str, text: str, loader: Loader) -> Placed:
    """Raises yaml.MarkedYAMLError or ValueError."""
    depth = 0
    for event in yaml.parse(text, Loader=loader):
        depth += isinstance(event, yaml.CollectionStartEvent) - isinstance(event, yaml.CollectionEndEvent)
        if depth > DEEPEST:
            return _unreadable(file, _place(event.start_mark), f"nested too deeply; allowed: {DEEPEST} levels")
        if getattr(event, "anchor", None):
            return _unreadable(file, _place(event.start_mark), "anchors are refused; allowed: the value written out")
    node = yaml.compose(text, Loader=loader)
    if node is None:
        return _unreadable(file, Place(1, 1), "the file is empty; allowed: keys with values")
    reader = _Reader(file)
    return Placed(reader.value(node, ()), reader.places, tuple(reader.problems))


def _not_yaml(file: str, text: str, error: yaml.MarkedYAMLError) -> Placed:
    """The pure reader names the place and the cause more exactly, but takes 50 times as long: for small files only."""
    if len(text) <= EXPLAINED_CHARACTERS:
        try:
            _placed(file, text, yaml.SafeLoader)
        except yaml.MarkedYAMLError as exact:
            error = exact
        except ValueError:
            pass  # the first error says more
    what = ", ".join(part for part in (error.context, error.problem) if part)
    if error.context == "while parsing a flow mapping" and "'['" in (error.problem or ""):
        what += "; a text with [ within braces is quoted"
    place = _place(error.problem_mark or error.context_mark)
    return _unreadable(file, place, f"this is not YAML: {what}")


def _place(mark: _Mark | None) -> Place:
    return Place(mark.line + 1, mark.column + 1) if mark else Place(1, 1)


def _unreadable(file: str, place: Place, what: str) -> Placed:
    return Placed(None, {}, (Problem(file, place, "", what),))


def read_checked(
    path: Path,
    model: type[_Document],
    cross_checks: Callable[[object, str, Mapping[KeyPath, Place]], Iterable[Problem]],
    refused: type[PolicyError],
) -> tuple[_Document, Mapping[KeyPath, Place]]:
    """The document of a file and the positions of its keys. `cross_checks` reports problems that span several keys,
    even when other keys are wrong. Raises `refused` with the problems of the file (of each kind of check the first
    hundred, as each costs a search for similar names), OSError when it can't be read."""
    return check_content(path.read_bytes(), str(path), model, cross_checks, refused)


def check_content(
    raw: bytes,
    file: str,
    model: type[_Document],
    cross_checks: Callable[[object, str, Mapping[KeyPath, Place]], Iterable[Problem]],
    refused: type[PolicyError],
) -> tuple[_Document, Mapping[KeyPath, Place]]:
    """As `read_checked`, from the content of a file; problems name `file`."""
    placed = placed_in(raw, file)
    problems = list(placed.problems)
    if not placed.places:
        raise refused(problems)
    reported = {problem.key for problem in problems}
    document, limited = None, False
    try:
        document = model.model_validate(placed.data)
    except ValidationError as error:
        found = problems_of(error, model, file, placed.places, limit=MOST_PROBLEMS)
        problems += [problem for problem in found if problem.key not in reported]
        limited = len(found) == MOST_PROBLEMS
    across = list(islice(cross_checks(placed.data, file, placed.places), MOST_PROBLEMS))
    problems += across
    if limited or len(across) == MOST_PROBLEMS:
        last = max(problem.place for problem in problems)
        problems.append(Problem(file, last, "", "there may be more problems; correct these first"))
    if problems or document is None:
        raise refused(problems)
    return document, placed.places
