"""Reads a mapping file; reports every mistake at once, each with its line."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from connect.intake.formats.registry import FORMATS
from connect.intake.mapping.body_file import authentication_of, body_rules_of
from connect.intake.mapping.checks import RULE_FIELDS, cross_checks, place_of
from connect.intake.mapping.entry_checks import NEVER_APPLIES
from connect.intake.mapping.entry_file import conditions_of, mapping_rule
from connect.intake.mapping.feedback_rules import FeedbackRule
from connect.intake.mapping.headers import HeaderPath
from connect.intake.mapping.mapping_rule import EVERY, MappingRule
from connect.intake.mapping.monitors import MonitorRule, MonitorRules
from connect.intake.mapping.rules import Source, States
from connect.intake.mapping.schema import MappingKeys, SourceKeys, StatesKeys
from streams.config_files.problems import KeyPath, Place, PolicyError
from streams.config_files.yaml_reader import check_content


class MappingError(PolicyError):
    """A mapping file that can't be used, with every problem found in it."""


def load_mapping(path: Path) -> dict[str, Source]:
    """The sources of a mapping file by name. Raises MappingError, OSError when it can't be read."""
    return mapping_in(path.read_bytes(), str(path))


def mapping_in(content: bytes, file: str) -> dict[str, Source]:
    """The sources in the content of a mapping file by name. Raises MappingError; its problems name `file`."""
    document, places = check_content(content, file, MappingKeys, cross_checks, MappingError)
    identities = frozenset(_identity(name, keys) for name, keys in document.sources.items())
    return {
        name: _source(name, keys, places, identities, _id_prefixes(name, document.sources))
        for name, keys in document.sources.items()
    }


def _identity(name: str, keys: SourceKeys) -> str:
    return keys.source or f"/intake/{name}"


def _id_prefixes(name: str, sources: Mapping[str, SourceKeys]) -> tuple[str, ...]:
    """What the ids of the incidents begin with that a source with `only_tenants` reaches. Feedback is about incidents
    of other sources: it reaches those of sources that are limited to its tenants, whose ids begin with their names."""
    keys = sources[name]
    if not keys.only_tenants:
        return ()
    if not FORMATS[keys.format].tool_events:
        return (f"{name}-",)
    own = set(keys.only_tenants)
    return tuple(
        f"{each}-"
        for each, its in sources.items()
        if each != name and its.only_tenants and own >= set(its.only_tenants)
    )


def _source(
    name: str,
    keys: SourceKeys,
    places: Mapping[KeyPath, Place],
    identities: frozenset[str],
    id_prefixes: tuple[str, ...],
) -> Source:
    here: KeyPath = ("sources", name)
    form = FORMATS[keys.format]
    fields: dict[str, Any] = {
        field: tuple(
            mapping_rule(each, place_of(places, (*here, field, index)).line, form) for index, each in enumerate(entries)
        )
        for field in RULE_FIELDS
        if (entries := getattr(keys, field))
    }
    source = Source(
        name=name,
        format=keys.format,
        secrets=tuple(each.ref() for each in keys.secrets or ()),
        source=_identity(name, keys),
        identities=identities,
        per_second=keys.rate.per_second,
        burst=keys.rate.burst,
        allow=tuple(keys.allow) if "allow" in form.keys else form.publishes,
        allow_sources=tuple(keys.allow_sources),
        only_tenants=tuple(keys.only_tenants),
        warnings=tuple(_warnings(keys, fields)),
        replay_window=keys.replay_window,
        ignore=tuple(conditions_of(each, form) for each in keys.ignore),
        monitors=MonitorRules(tuple(MonitorRule(name, each.every, each.grace) for name, each in keys.monitors.items())),
        states=states_of(keys.states, form.default_states),
        events={each: FeedbackRule(rule.becomes, rule.visibility) for each, rule in keys.events.items()},
        component_incidents=keys.component_incidents,
        opening_with_updates=keys.opening_with_updates,
        deployment=keys.deployment,
        id_prefixes=id_prefixes,
        authentication=authentication_of(keys.authentication),
        body=None if keys.body is None else body_rules_of(keys.body, (*here, "body"), places, form),
        **fields,
    )
    return replace(source, headers=frozenset(path.name for path in source.paths() if isinstance(path, HeaderPath)))


def _warnings(keys: SourceKeys, fields: Mapping[str, Sequence[MappingRule]]) -> Iterator[str]:
    for entry, rule in zip(keys.tenants[1:], fields.get("tenants", ())[1:], strict=True):
        if entry.value == EVERY and not entry.when:
            yield (
                f"line {rule.line}: payloads in which no entry before it finds a tenant affect every tenant; "
                "write `scope: platform` if that is meant"
            )
    if keys.only_tenants:
        yield from _forbidden_tenants(keys, fields.get("tenants", ()))
    for field, rules in fields.items():
        always = [index for index, rule in enumerate(rules) if rule.value is not None and not rule.when]
        for rule in rules[always[0] + 1 :] if always else ():
            yield f"line {rule.line}: this entry of {field} {NEVER_APPLIES}"


def _forbidden_tenants(keys: SourceKeys, rules: Sequence[MappingRule]) -> Iterator[str]:
    """What entries of `tenants` give that the source may not affect: each incident of it would be refused."""
    for rule in rules:
        given = [rule.value] if rule.value is not None else (rule.values or {}).values()
        for tenant in dict.fromkeys(each for each in given if each not in keys.only_tenants):
            named = "the whole platform" if tenant == EVERY else f"tenant {tenant}"
            yield f"line {rule.line}: {named} is not in only_tenants, so what this entry gives it for is refused"


def states_of(keys: StatesKeys, default: States) -> States:
    """The meaning of status names: by the mapping, and where that does not list a meaning, the format's names for it,
    apart from those that the mapping lists under another one."""
    named = {name.casefold() for each in type(keys).model_fields for name in getattr(keys, each) or ()}

    def of(given: list[str] | None, otherwise: frozenset[str]) -> frozenset[str]:
        return otherwise - named if given is None else frozenset(value.casefold() for value in given)

    return States(
        resolved=of(keys.resolved, default.resolved),
        waiting_customer=of(keys.waiting_customer, default.waiting_customer),
        waiting_third_party=of(keys.waiting_third_party, default.waiting_third_party),
    )
