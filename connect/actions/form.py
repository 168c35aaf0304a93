"""Reads the form of an action, with every problem in it, and describes it for whoever shows it."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import NamedTuple

from connect.actions.catalogue import LISTS, Action, ActionField, Kind
from connect.actions.local_times import local_time_problem
from connect.actions.outcome import FormProblem, State
from streams.sla.instants import LATEST, format_rfc3339, parse_rfc3339
from streams.sla.limits import MAX_ID_CHARACTERS, MAX_TENANTS, MAX_TEXT_BYTES, InvalidInputError, check_id, check_month
from streams.sla.new_input import WILDCARD
from streams.sla.policy import Policies

#: What a form gives for a field: a text, or several; API and command line also give numbers and truth values.
FormValue = str | int | bool | None | Sequence[str]
FormValues = Mapping[str, FormValue]

#: A file of terms, or a corrected event.
MAX_DOCUMENT_BYTES = 1024 * 1024
_SEPARATORS = re.compile(r"[,\r\n]+")
_NEWLINES = re.compile(r"\r\n?")
_NO = frozenset(["no", "off", "false", "0"])
_SHOWN = 60


class Choices(NamedTuple):
    """What the policies of the deployment declare: components, the versions of each policy, and the components of each
    version."""

    components: tuple[str, ...]
    policies: Mapping[str, tuple[str, ...]]
    by_version: Mapping[tuple[str, str], tuple[str, ...]]

    @classmethod
    def of(cls, policies: Policies) -> Choices:
        """Those of all versions that there are."""
        found = {name: tuple(one.version for one in versions) for name, versions in policies.by_name.items()}
        by_version = {
            (name, one.version): tuple(one.components)
            for name, versions in policies.by_name.items()
            for one in versions
        }
        declared = dict.fromkeys(component for components in by_version.values() for component in components)
        return cls(tuple(declared), found, by_version)

    def at(self, state: State) -> Choices:
        """Those for an incident: the components of the policy version that it is judged by, where that is here."""
        policy = state.get("policy") or {}
        known = self.by_version.get((policy.get("name", ""), policy.get("version", "")))
        return self if known is None else self._replace(components=known)


class FormField(NamedTuple):
    """A field for whoever makes a form: `choices` are all that are allowed, empty where anything is. `label` is its key
    in the catalogue of texts; `most` the characters that fit (of a text and a document: bytes)."""

    name: str
    kind: Kind
    required: bool
    several: bool
    choices: tuple[str, ...]
    label: str
    most: int | None


class ReadForm(NamedTuple):
    """The values of a form by field, without absent ones, and what is wrong with it. Instants are RFC 3339 in UTC."""

    values: Mapping[str, str | list[str]]
    problems: tuple[FormProblem, ...]

    def text(self, name: str) -> str | None:
        """The value of a field that has one text."""
        found = self.values.get(name)
        return found if isinstance(found, str) else None

    def listed(self, name: str) -> list[str]:
        """The value of a field that has several."""
        found = self.values.get(name)
        return found if isinstance(found, list) else []


def describe(action: Action, choices: Choices) -> tuple[FormField, ...]:
    """The fields of an action's form, in order."""
    return tuple(
        FormField(
            field.name,
            field.kind,
            field.required,
            field.kind in LISTS,
            _allowed(field, choices),
            f"field.{field.name}",
            _most(field.kind),
        )
        for field in action.fields
    )


def read_form(action: Action, form: FormValues, choices: Choices) -> ReadForm:
    """The values of a form, and every problem in it."""
    values: dict[str, str | list[str]] = {}
    problems = [_unknown(action, name) for name in form if action.field(name) is None]
    for field in action.fields:
        read = _read(field, form.get(field.name), choices)
        if isinstance(read, FormProblem):
            problems.append(read)
        elif read:
            values[field.name] = read
        elif field.required:
            problems.append(FormProblem(field.name, "required"))
    named = {problem.field for problem in problems}
    if action.one_of and not any(name in values or name in named for name in action.one_of):
        problems.append(FormProblem(action.one_of[0], "one_of", {"fields": ", ".join(action.one_of)}))
    problems += _scope_problems(values, named)
    if "version" in values and "version" not in named:
        problems += _version_problems(values, choices)
    return ReadForm(values, tuple(problems))


def shown(value: object) -> str:
    """A value from outside in a message: short, without control characters."""
    text = "".join(each if each.isprintable() else "\N{REPLACEMENT CHARACTER}" for each in str(value))
    return text if len(text) <= _SHOWN else f"{text[:_SHOWN]}…"


def id_problem(field: str, value: str) -> FormProblem | None:
    """What is wrong with an id, if anything is."""
    try:
        check_id(value, field)
        value.encode()
    except InvalidInputError:
        if not value:
            return FormProblem(field, "required")
        if len(value) > MAX_ID_CHARACTERS:
            return FormProblem(field, "id_long", {"characters": f"{len(value):,}", "most": str(MAX_ID_CHARACTERS)})
        return FormProblem(field, "control_character")
    except UnicodeEncodeError:
        return FormProblem(field, "not_unicode")
    return FormProblem(field, "wildcard") if value == WILDCARD and field in {"tenant_id", "tenant_ids"} else None


def _unknown(action: Action, name: str) -> FormProblem:
    allowed = ", ".join(field.name for field in action.fields) or "-"
    return FormProblem(shown(name), "unknown_field", {"action": action.name, "allowed": allowed})


def _read(field: ActionField, value: FormValue, choices: Choices) -> str | list[str] | FormProblem | None:
    """The value of one field, None or empty where it is absent."""
    if field.kind in LISTS:
        return _read_list(field, value, choices)
    if value is None:
        return None
    if isinstance(value, bool):
        value = ("yes" if value else "no") if field.kind == "choice" else ("yes" if value else "")
    elif isinstance(value, int):
        value = str(value)
    if not isinstance(value, str):
        return FormProblem(field.name, "single")
    try:
        size = len(value.encode())
    except UnicodeEncodeError:
        return FormProblem(field.name, "not_unicode")
    if field.kind in {"text", "document"}:
        text = _NEWLINES.sub("\n", value)
        text = text.strip() if field.kind == "text" else text.rstrip()  # lines of a document keep their numbers
        most = MAX_TEXT_BYTES if field.kind == "text" else MAX_DOCUMENT_BYTES
        if size > most:
            return FormProblem(field.name, "text_long", {"bytes": f"{size:,}", "most": f"{most:,}"})
        return text
    return _read_word(field, value.strip(), choices)


def _read_word(field: ActionField, value: str, choices: Choices) -> str | FormProblem:
    if not value:
        return value
    match field.kind:
        case "choice" | "component" | "policy":
            allowed = _allowed(field, choices)
            return value if value in allowed else _not_allowed(field, value, allowed)
        case "instant":
            return _instant(field.name, value)
        case "month":
            try:
                return check_month(value)
            except InvalidInputError:
                return FormProblem(field.name, "month", {"value": shown(value)})
        case "flag":
            return "" if value.lower() in _NO else "yes"
        case _:
            return id_problem(field.name, value) or value


def _read_list(field: ActionField, value: FormValue, choices: Choices) -> list[str] | FormProblem:
    given = [] if value is None else _SEPARATORS.split(value) if isinstance(value, str) else value
    if not isinstance(given, Sequence) or not all(isinstance(each, str) for each in given):
        return FormProblem(field.name, "list")
    found = list(dict.fromkeys(stripped for each in given if (stripped := each.strip())))
    if len(found) > MAX_TENANTS:
        return FormProblem(field.name, "too_many", {"count": f"{len(found):,}", "most": f"{MAX_TENANTS:,}"})
    allowed = _allowed(field, choices)
    for each in found:
        if (problem := id_problem(field.name, each)) is not None:
            return problem
        if allowed and each not in allowed:
            return _not_allowed(field, each, allowed)
    return found


def _allowed(field: ActionField, choices: Choices) -> tuple[str, ...]:
    match field.kind:
        case "component" | "components":
            return choices.components
        case "policy":
            return tuple(choices.policies)
        case _:
            return field.choices


def _not_allowed(field: ActionField, value: str, allowed: Sequence[str]) -> FormProblem:
    return FormProblem(field.name, "choice", {"value": shown(value), "allowed": ", ".join(allowed)})


def _instant(name: str, value: str) -> str | FormProblem:
    try:
        instant = parse_rfc3339(value)
    except ValueError:
        return local_time_problem(name, value) or FormProblem(name, "instant", {"value": shown(value)})
    return format_rfc3339(instant) if 0 <= instant <= LATEST else FormProblem(name, "instant_range")


def _scope_problems(values: Mapping[str, object], named: set[str]) -> Iterator[FormProblem]:
    """Scope and tenants belong together: `tenants` needs some, `platform` has none."""
    if named & {"scope", "tenant_ids"}:
        return
    scope, tenants = values.get("scope"), values.get("tenant_ids")
    if scope == "tenants" and not tenants:
        yield FormProblem("tenant_ids", "tenants_missing")
    if tenants and scope != "tenants":
        yield FormProblem("tenant_ids", "platform_tenants" if scope == "platform" else "scope_missing")


def _version_problems(values: Mapping[str, str | list[str]], choices: Choices) -> Iterator[FormProblem]:
    policy = values.get("policy")
    known = choices.policies.get(policy, ()) if isinstance(policy, str) else ()
    version = values["version"]
    if known and version not in known:
        yield FormProblem("version", "choice", {"value": shown(version), "allowed": ", ".join(known)})


def _most(kind: Kind) -> int | None:
    match kind:
        case "text":
            return MAX_TEXT_BYTES
        case "document":
            return MAX_DOCUMENT_BYTES
        case "choice" | "flag" | "instant" | "month":
            return None
        case _:
            return MAX_ID_CHARACTERS
