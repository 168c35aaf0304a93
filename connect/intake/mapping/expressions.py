"""Paths into any JSON body: JMESPath (jmespath.org), without what could make evaluation costly.

An evaluation takes time and memory that are at most proportional to the size of the body and the length of the
expression: what builds new values from old ones (multi-select lists and hashes, most functions) is refused, and nothing
inside a projection sees more than its own item. An expression that begins with `$` looks into the whole body, also
where the body is a list of items; its texts are kept, so that many items do not evaluate it again.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from decimal import Decimal
from functools import lru_cache
from typing import Any, cast

import jmespath
from jmespath.exceptions import JMESPathError
from jmespath.visitor import TreeInterpreter

from connect.intake.mapping.headers import NO_HEADERS, HeaderPath, Headers
from connect.intake.mapping.paths import FieldPath, PayloadTexts, lookup
from streams.config_files.scalars import close_to
from streams.sla.limits import MAX_TENANTS

_MAX_CHARACTERS = 400
_FUNCTIONS = ("contains", "ends_with", "join", "length", "not_null", "starts_with")
#: Nodes that select values of the body; every expression has one.
_SELECTING = frozenset(["field", "index", "slice", "flatten", "projection", "value_projection", "filter_projection"])
_LOGIC = frozenset(["comparator", "or_expression", "and_expression", "not_expression"])
_CHAINS = frozenset(["subexpression", "index_expression", "pipe"])
_LEAVES = frozenset(["current", "identity", "literal", "function_expression"])
_TRUE_OR_FALSE = frozenset(["contains", "ends_with", "starts_with"])
_EXAMPLES = "status, alert.id, tags[?key=='env'].value | [0]"
#: Nodes that one evaluation visits, about a second's time; lists of 100,000 items take fewer. Other requests wait
#: meanwhile, and 16 MiB of `"",` would take 20 times as many.
_MOST_STEPS = 1_000_000
_MAX_SEPARATOR = 16


class _BoundedInterpreter(TreeInterpreter):  # type: ignore[misc]
    """Evaluates expressions, one after another, each in at most _MOST_STEPS steps."""

    _steps_left = 0

    def evaluate(self, tree: dict[str, Any], value: object) -> object:
        """The value of a whole expression. Raises JMESPathError where it takes too many steps."""
        self._steps_left = _MOST_STEPS
        return self.visit(tree, value)

    def visit(self, node: dict[str, Any], value: object) -> Any:
        """The value of a node."""
        self._steps_left -= 1
        if self._steps_left < 0:
            raise JMESPathError("too many steps")
        method = self._method_cache.get(node["type"])  # as the library does, without another call for each node
        return super().visit(node, value) if method is None else method(node, value)


class _Interpreters(threading.local):
    """One for each thread, which all expressions share: making one takes longer than most evaluations."""

    def __init__(self) -> None:
        self.own = _BoundedInterpreter()


_INTERPRETERS = _Interpreters()


@dataclass(frozen=True, slots=True)
class ExpressionPath(FieldPath):
    """A compiled expression; `names` is empty."""

    search: Callable[[object], object] = field(compare=False, repr=False, default=lambda _: None)
    """The result over a JSON value. Never raises: what can't be evaluated is null."""
    whole_body: bool = False
    true_or_false: bool = False
    """Whether it gives true or false and nothing else."""

    __hash__ = FieldPath.__hash__

    def values(self, view: object) -> list[object]:
        """The JSON values that it selects: the items of a list, else the value itself."""
        found = self.search(view)
        if isinstance(found, list):
            return [each for each in found if not isinstance(each, list)]
        return [] if found is None else [found]


class ItemTexts(PayloadTexts):
    """The texts of one item of a body. Those of expressions that begin with `$` are the body's, which all of its items
    share; of many an item takes the first ones, as many as make an event too large (R28)."""

    def __init__(self, item: object, body: PayloadTexts, headers: Headers = NO_HEADERS) -> None:
        super().__init__(item)
        self.item = item
        self._body = body
        self._headers = headers

    def at(self, path: FieldPath) -> list[str]:
        """The texts at a path."""
        if isinstance(path, HeaderPath):
            return [value for value in self._headers.get(path.name, ()) if value]
        found = self._texts.get(path)
        if found is None:
            shared = isinstance(path, ExpressionPath) and path.whole_body
            found = self._body.at(path)[: MAX_TENANTS + 1] if shared else lookup(self.item, path)
            self._texts[path] = found
        return found

    def folded_at(self, path: FieldPath) -> frozenset[str]:
        """The texts at a path, folded as those of conditions are."""
        if isinstance(path, ExpressionPath) and path.whole_body:
            return self._body.folded_at(path)
        return super().folded_at(path)


@lru_cache(maxsize=4096)
def parse_expression(text: str) -> ExpressionPath:
    """Raises ValueError for an expression that is not valid, or that can't depend on the body."""
    whole = text.startswith("$")
    written = (text[1:].removeprefix(".") or "@") if whole else text
    if len(text) > _MAX_CHARACTERS:
        raise ValueError(f"{text[:40]!r}… has {len(text)} characters; allowed: {_MAX_CHARACTERS}, {_EXAMPLES}")
    try:
        tree = cast("dict[str, Any]", jmespath.compile(written).parsed)
    except (JMESPathError, RecursionError, ValueError) as error:
        raise ValueError(
            f"{text!r} is no JMESPath expression{_where(error)}; allowed: {_EXAMPLES}; a name with other characters "
            'than letters, digits and _ is quoted: alert."event-id"'
        ) from None
    nodes = list(_nodes(tree))
    for node in nodes:
        if node["type"] == "literal":
            node["value"] = _exact(node["value"])
        if (problem := _refused(node)) is not None:
            raise ValueError(f"{text!r}: {problem}")
    if not any(node["type"] in _SELECTING for node in nodes) and written != "@":
        raise ValueError(f"{text!r} is the same for every body; allowed: {_EXAMPLES}, or `value` for a constant")
    names = _plain_names(tree)
    search = _of_tree(tree) if names is None else _of_names(names)
    return ExpressionPath(text, (), search, whole, _is_true_or_false(tree))


def _exact(literal: object) -> object:
    """A constant with its fractions as bodies have them: 0.1 in a body is a Decimal, which no float equals."""
    match literal:
        case float():
            return Decimal(repr(literal))
        case list():
            return [_exact(each) for each in literal]
        case dict():
            return {name: _exact(each) for name, each in literal.items()}
        case _:
            return literal


def _nodes(node: dict[str, Any]) -> Iterator[dict[str, Any]]:
    waiting = [node]
    while waiting:
        one = waiting.pop()
        yield one
        waiting += [child for child in one["children"] if isinstance(child, dict)]


def _refused(node: dict[str, Any]) -> str | None:
    kind = node["type"]
    if kind not in _SELECTING | _LOGIC | _CHAINS | _LEAVES:
        what = {"multi_select_list": "[a, b]", "multi_select_dict": "{a: b}", "expref": "&a"}.get(kind, kind)
        return f"{what} builds values and is not available; allowed: {_EXAMPLES}"
    if kind != "function_expression":
        return None
    name = node["value"]
    if name not in _FUNCTIONS:
        near = close_to(name, _FUNCTIONS)
        return f"function {name} is not available{near}; allowed: {', '.join(_FUNCTIONS)}"
    if name == "join" and (not node["children"] or node["children"][0]["type"] != "literal"):
        return "join needs a text as its separator; allowed: join(', ', names)"
    if name == "join" and len(str(node["children"][0]["value"])) > _MAX_SEPARATOR:
        return f"the separator of join is too long; allowed: at most {_MAX_SEPARATOR} characters"
    return None


def _plain_names(node: dict[str, Any]) -> tuple[str, ...] | None:
    """The names of a chain of fields, which most expressions are; None for any other."""
    if node["type"] == "field":
        return (node["value"],)
    if node["type"] != "subexpression":
        return None
    parts = [_plain_names(child) for child in node["children"]]
    return None if None in parts else tuple(name for part in parts if part is not None for name in part)


def _of_names(names: tuple[str, ...]) -> Callable[[object], object]:
    def search(value: object) -> object:
        for name in names:
            if not isinstance(value, dict):
                return None
            value = value.get(name)
        return value

    return search


def _of_tree(tree: dict[str, Any]) -> Callable[[object], object]:
    def search(value: object) -> object:
        try:
            found = _INTERPRETERS.own.evaluate(tree, value)
        except (JMESPathError, TypeError, ValueError, ArithmeticError, RecursionError):
            return None  # a function or a comparison that these values do not have
        return found

    return search


def _is_true_or_false(node: dict[str, Any]) -> bool:
    kind = node["type"]
    if kind in {"or_expression", "and_expression"}:
        return all(_is_true_or_false(child) for child in node["children"])
    if kind == "function_expression":
        return node["value"] in _TRUE_OR_FALSE
    return kind in {"comparator", "not_expression"}


def _where(error: Exception) -> str:
    position = getattr(error, "lex_position", getattr(error, "lexer_position", None))
    return f" (character {position + 1})" if isinstance(position, int) else ""
