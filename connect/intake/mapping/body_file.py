"""Makes the rules of `body` and `authentication` of a mapping file that has been checked."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from ipaddress import ip_network

from connect.intake.formats.source_format import SourceFormat
from connect.intake.mapping.authentication import (
    AddressToken,
    Authentication,
    BasicAccount,
    BearerToken,
    BodySignature,
    ProxySubject,
    SignedTime,
    TokenHeader,
)
from connect.intake.mapping.body_keys import AuthenticationKeys, BodyKeys, TimeKeys
from connect.intake.mapping.body_rules import BodyRules, TimeRule
from connect.intake.mapping.checks import place_of
from connect.intake.mapping.entry_file import mapping_rule, path_of
from connect.intake.mapping.entry_keys import MappingRuleKeys
from connect.intake.mapping.mapping_rule import MappingRule
from connect.intake.mapping.paths import FieldPath
from connect.written_times import TimeReader
from streams.config_files.problems import KeyPath, Place


def body_rules_of(keys: BodyKeys, here: KeyPath, places: Mapping[KeyPath, Place], form: SourceFormat) -> BodyRules:
    """The rules of a source's body."""

    def rules(name: str, entries: Sequence[MappingRuleKeys]) -> tuple[MappingRule, ...]:
        return tuple(
            mapping_rule(each, place_of(places, (*here, name, index)).line, form) for index, each in enumerate(entries)
        )

    def path(text: str | None) -> FieldPath | None:
        return None if text is None else path_of(text, form)

    def times(name: str, given: Sequence[TimeKeys] | None) -> tuple[TimeRule, ...]:
        return tuple(
            TimeRule(
                place_of(places, (*here, name, index)).line,
                path(each.path),
                TimeReader(tuple(each.format), each.zone),
            )
            for index, each in enumerate(given or ())
        )

    return BodyRules(
        incident=rules("incident", keys.incident),
        state=rules("state", keys.state),
        items=path(keys.items),
        left_out=path(keys.left_out),
        message=path(keys.message),
        time=times("time", keys.time),
        opened_at=times("opened_at", keys.opened_at),
        resolved_at=times("resolved_at", keys.resolved_at),
        ticket=path(keys.ticket),
        channel=keys.channel,
        author=rules("author", keys.author),
        who=rules("who", keys.who),
        text=rules("text", keys.text),
        visibility=rules("visibility", keys.visibility),
    )


def authentication_of(keys: AuthenticationKeys | None) -> Authentication | None:
    """The scheme of a source; None where its format decides."""
    if keys is None:
        return None
    if keys.address is not None:
        return Authentication(AddressToken())
    if keys.basic is not None:
        return Authentication(BasicAccount(keys.basic.user))
    if keys.header is not None:
        return Authentication(TokenHeader(keys.header.name, keys.header.prefix))
    if (subject := keys.proxy_subject) is not None:
        networks = tuple(ip_network(each) for each in subject.networks)
        return Authentication(ProxySubject(subject.header, frozenset(subject.subjects), networks))
    if (given := keys.hmac) is not None:
        time = given.timestamp
        signed_time = None if time is None else SignedTime(time.header, time.prefix, time.format)
        return Authentication(
            BodySignature(given.header, given.algorithm, given.encoding, given.prefix, given.signed, signed_time)
        )
    return Authentication(BearerToken())
