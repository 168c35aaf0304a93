"""The fields of a Jira issue before a change, derived from the issue itself and the ids of its change log.

A change log has texts of values. They are ambiguous where a field has several values ("Acme,Tokyo, Inc."), and a value
may have more fields than a text. So the values after a change come from the issue, and those before it from the values
of the issue that the ids of the log name.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

from connect.intake.mapping.paths import FieldPath

_NAMES = {"Component": "components", "Version": "versions", "Fix Version": "fixVersions"}
#: Fields with several values whose log has an item for each value that came or went; other logs have the whole list.
_ONE_BY_ONE = frozenset(_NAMES.values())
#: Values of a field whose values before a change are looked for.
_MAX_VALUES = 1_000
_ID = re.compile(r"[^\s,\[\]]+")
_TEXTS_OF_A_VALUE = frozenset(["id", "name", "value"])


class Before(NamedTuple):
    """The fields before a change."""

    fields: dict[str, Any]
    unknown: frozenset[str]
    """Names of changed fields whose values before are not known as far as the mapping reads them."""


def field_name(item: dict[str, Any]) -> str:
    """The name in `issue.fields` of a changed field. Custom fields have their id, `customfield_…`."""
    name = str(item.get("field"))
    return str(item.get("fieldId") or _NAMES.get(name, name))


def fields_before(
    fields: dict[str, Any], items: Iterable[dict[str, Any]], paths: Iterable[FieldPath], *, gone_first: bool = False
) -> Before:
    """Undo the changes of a log. `paths` are those that the mapping reads. Where a value stood in a list from which it
    is gone is not known of some fields: at its end, or `gone_first` at its beginning."""
    read: dict[str, set[tuple[str, ...]]] = {}
    for path in paths:
        if len(path.names) > 2 and path.names[:2] == ("issue", "fields"):
            read.setdefault(path.names[2], set()).add(path.names[3:])
    custom = [name for name in read if name.startswith("customfield_")]
    found = dict(fields)
    unknown: set[str] = set()
    for item in items:
        if item.get("fieldtype") == "custom" and not item.get("fieldId"):
            # Data Center names a custom field by its title alone, which the issue does not have.
            unknown.update(name for name in custom if _may_be(found.get(name), item))
            continue
        name = field_name(item)
        value, known = _value_before(name, found.get(name), item, read.get(name, set()), gone_first)
        found[name] = value
        if not known and name in read:
            unknown.add(name)
    return Before(found, frozenset(unknown))


def _value_before(
    name: str, now: object, item: dict[str, Any], read: set[tuple[str, ...]], gone_first: bool
) -> tuple[object, bool]:
    """A field's value before a change, and whether it is known as far as it is read."""
    old, old_ids = item.get("fromString"), item.get("from")
    if name == "labels":
        return str(old or "").split(), True
    plain = read <= {(leaf,) for leaf in _TEXTS_OF_A_VALUE}
    one_by_one = isinstance(now, list) and name in _ONE_BY_ONE
    if not old and not old_ids and not one_by_one:
        return ([] if isinstance(now, list) else None), True
    if isinstance(now, list) and len(now) > _MAX_VALUES:
        return now, False
    if isinstance(now, list) and one_by_one:
        others = [each for each in now if not _is(each, item.get("to"), item.get("toString"))]
        gone = [_value(old_ids, old)] if old or old_ids else []
        return (gone + others if gone_first else others + gone), plain or not gone
    if isinstance(now, list) or (now is None and str(old_ids).startswith("[")):
        values = _listed(now if isinstance(now, list) else [], str(old or ""), old_ids)
        return (now, False) if values is None else (values, plain)
    if isinstance(now, dict) and ("child" in now or not plain):
        return now, False  # the log has no more than the texts of a value
    if isinstance(now, dict) or (now is None and () not in read):
        return _value(old_ids, old), True
    return old, read <= {()}


def _listed(now: Sequence[object], old: str, old_ids: str | None) -> list[object] | None:
    """The values of a list that the change log gives as text, None where the text is ambiguous."""
    texts = old.split(",")
    if old_ids is None:
        known = {text: each for each in now for text in _texts(each)}
        return [known.get(text.strip(), _value(None, text.strip())) for text in texts] if old else []
    ids = _ID.findall(old_ids)
    by_id = {str(each.get("id")): each for each in now if isinstance(each, dict)}
    if all(each in by_id for each in ids):
        return [by_id[each] for each in ids]
    if len(texts) == len(ids):
        return [by_id.get(each, _value(each, text.strip())) for each, text in zip(ids, texts, strict=True)]
    # Texts with commas: where one value is unknown, it stands between those that the issue still has.
    missing = [index for index, each in enumerate(ids) if each not in by_id]
    if len(missing) != 1:
        return None
    parts = [_texts(by_id[each]) if each in by_id else [] for each in ids]
    start, end = _end_of_first(old, parts[: missing[0]]), _start_of_last(old, parts[missing[0] + 1 :])
    if start is None or end is None or end <= start:
        return None
    text = old[start:end]
    return [by_id.get(each, _value(each, text)) for each in ids]


def _end_of_first(text: str, values: Sequence[Sequence[str]]) -> int | None:
    """Where a text goes on after the first values of its list and their commas; each is one of several texts. (One
    pattern for all of them takes seconds to compile where they are long.)"""
    found = [0]
    for texts in values:
        commas = [at + len(each) for at in found for each in texts if text.startswith(f"{each},", at)]
        found = list(dict.fromkeys(each for at in commas for each in (_after_spaces(text, at + 1), at + 1)))
    return next(iter(found), None)


def _after_spaces(text: str, at: int) -> int:
    while at < len(text) and text[at].isspace():
        at += 1
    return at


def _start_of_last(text: str, values: Sequence[Sequence[str]]) -> int | None:
    """Where the last values of a text's list begin, with the comma before them."""
    found = {len(text)}
    for texts in reversed(values):
        starts = {at - len(each) for at in found for each in texts if text.endswith(each, 0, at)}
        found = {at - 1 for at in (_before_spaces(text, start) for start in starts) if at and text[at - 1] == ","}
    return min(found, default=None)


def _before_spaces(text: str, at: int) -> int:
    while at and text[at - 1].isspace():
        at -= 1
    return at


def _may_be(now: object, item: dict[str, Any]) -> bool:
    """Whether a field that has a value now may be the one that an item of the log has changed."""
    after = f"{item.get('to') or ''} {item.get('toString') or ''}"
    if now in (None, "", []):
        return not after.strip()
    return any(text in after for each in (now if isinstance(now, list) else [now]) for text in _texts(each))


def _value(identity: object, text: object) -> dict[str, object]:
    return {"id": identity, "name": text, "value": text}


def _texts(value: object) -> list[str]:
    if not isinstance(value, dict):
        return [str(value)]
    return [value[name] for name in ("value", "name") if isinstance(value.get(name), str)] or [""]


def _is(value: object, identity: object, text: object) -> bool:
    if isinstance(value, dict) and identity is not None and value.get("id") is not None:
        return str(value["id"]) == str(identity)
    return text is not None and text in _texts(value)
