"""Any JSON webhook: the mapping file says where the incident, its state, times and texts are in the body.

Nothing is kept between two messages. So a message has to say by itself which incident it is about and when it happened,
and its events are derived from that alone: repeats, retries and any order of arrival give the same incidents (R1, R2).

- The opening's id has the time of the opening, and the time of the message where that is another one. Of several
  openings of an incident the first counts (R2), whichever arrives first.
- Other events have the sender's own id of the message, else the time of the message, in theirs.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from typing import NamedTuple

from connect.intake.formats import json_webhook_authentication, json_webhook_secrets
from connect.intake.formats.json_webhook_times import NoTime, time_at
from connect.intake.formats.source_format import BODY_KEYS, INCIDENT_KEYS, Receipt, SourceFormat
from connect.intake.mapping.body_rules import (
    IGNORED,
    OPENED,
    RECLASSIFIED,
    REOPENED,
    RESOLVED,
    UPDATED,
    WAITING,
    WAITING_ENDED,
    BodyRules,
    TimeRule,
    facts_of,
)
from connect.intake.mapping.classification import (
    Classified,
    classification_fields,
    classify,
    ignored_by_rule,
    opened_fields,
    truncate_text,
    without_tier,
)
from connect.intake.mapping.expressions import ExpressionPath, ItemTexts, parse_expression
from connect.intake.mapping.headers import NO_HEADERS, PREFIX, Headers, parse_header
from connect.intake.mapping.mapping_rule import MappingRule
from connect.intake.mapping.matching import first_match, quoted
from connect.intake.mapping.paths import FieldPath, PayloadTexts, lookup
from connect.intake.mapping.rules import Source
from connect.intake.outcome import IGNORED_WHILE_OPEN, EventItem, IgnoredItem, ItemOutcome, RejectedItem, event
from connect.intake.sortable_ids import compact
from streams.sla.instants import format_rfc3339
from streams.sla.limits import MAX_ID_CHARACTERS

_MAX_ITEMS = 10_000
_MAX_LEFT_OUT = 1_000_000
_DIGEST = 32
#: What an operator is told of a local time that a change of the clock repeats or skips.
AMBIGUOUS_TIME = "ambiguous_time"


class JsonMessage(NamedTuple):
    """One message about one incident. Times are microseconds since 1970."""

    item: str
    texts: PayloadTexts
    source: Source
    rules: BodyRules
    subject: str
    received_at: int | None
    notes: dict[str, None]
    """What is ambiguous about times that count."""


def translate(payload: object, source: Source, receipt: Receipt) -> Iterator[ItemOutcome]:
    """The outcomes of the messages of a body."""
    assert source.body is not None
    found = messages(payload, source.body, receipt.headers)
    if isinstance(found, RejectedItem):
        yield found
        return
    for item, texts in found:
        yield from _outcomes(item, texts, source, source.body, receipt.at)


def messages(
    payload: object, rules: BodyRules, headers: Headers = NO_HEADERS
) -> Iterator[tuple[str, ItemTexts]] | RejectedItem:
    """The messages of a body, each with its place; or why there are none."""
    path = rules.items
    if path is None:
        if not isinstance(payload, dict):
            return RejectedItem("", "invalid", "expected an object; where the body is a list, write `items: $`")
        return iter([("", ItemTexts(payload, PayloadTexts(payload), headers))])
    assert isinstance(path, ExpressionPath)
    items = path.search(payload)
    if not isinstance(items, list):
        return RejectedItem("", "invalid", f"items: {path} is {'absent' if items is None else 'no list'}")
    if len(items) > _MAX_ITEMS:
        return RejectedItem("", "oversize", f"items: lists {len(items):,}; at most {_MAX_ITEMS:,} are allowed")
    body = PayloadTexts(payload)
    return ((f"{path}[{index}]", ItemTexts(each, body, headers)) for index, each in enumerate(items))


def _outcomes(
    item: str, texts: ItemTexts, source: Source, rules: BodyRules, received_at: int | None
) -> Iterator[ItemOutcome]:
    if not isinstance(texts.item, dict):
        yield RejectedItem(item, "invalid", "expected an object")
        return
    states, reason = first_match(rules.state, texts)
    if (ignored := ignored_by_rule(source, texts)) is not None:
        # An incident that is not ended by this stays open: other messages about it may be ignored while it is.
        ends = bool(states) and RESOLVED in facts_of(states[0])
        subject = subject_of(rules, texts, source.name) if ends else None
        known = subject if isinstance(subject, str) else None
        yield IgnoredItem(item, ignored.reason, None, known, None if known is None else IGNORED_WHILE_OPEN)
        return
    if not states:
        yield RejectedItem(item, "invalid", f"state: {reason}; map what means nothing to {IGNORED}")
        return
    if states[0] == IGNORED:
        yield IgnoredItem(item, f"the mapping says that its state means nothing: {_state_of(rules, texts)}")
        return
    subject = subject_of(rules, texts, source.name)
    if isinstance(subject, RejectedItem):
        yield subject._replace(item=item)
        return
    message = JsonMessage(item, texts, source, rules, subject, received_at, {})
    for fact in facts_of(states[0]):
        try:
            yield from _fact(fact, message)
        except ValueError as error:
            yield RejectedItem(item, "invalid", f"{fact}: {error}")
    for note in message.notes:
        yield IgnoredItem(item, f"{note}; let the sender write the offset from UTC", AMBIGUOUS_TIME, subject)


def _state_of(rules: BodyRules, texts: PayloadTexts) -> str:
    paths = dict.fromkeys(rule.path for rule in rules.state if rule.path is not None)
    shown = [f"{path} is {quoted(' '.join(found))}" for path in paths if (found := texts.at(path))]
    return ", ".join(shown) or "`state` names it"


def subject_of(rules: BodyRules, texts: PayloadTexts, name: str) -> str | RejectedItem:
    """The incident's id: the source's name and the parts; or which part is missing."""
    parts = []
    for rule in rules.incident:
        values, reason = first_match([rule], texts)
        if len(values) != 1:
            why = reason if not values else f"{rule.path} gives {len(values)} values"
            return RejectedItem("", "invalid", f"incident: {why}; an incident needs each part of its id")
        part = _part(values[0], rule, rules, texts)
        if isinstance(part, NoTime):
            return RejectedItem("", "invalid", f"incident: {part.reason}; an incident needs each part of its id")
        parts.append(part)
    # With `~` written as %7E within parts, different parts never give the same id.
    own = parts[0] if len(parts) == 1 else "~".join(each.replace("%", "%25").replace("~", "%7E") for each in parts)
    return _short(f"{name}-{own}", f"{name}-")


def _part(text: str, rule: MappingRule, rules: BodyRules, texts: PayloadTexts) -> str | NoTime:
    """A part of an id. The time of the opening is written in one way, in whatever zone the sender writes it."""
    for opened_at in rules.opened_at:
        if opened_at.path is not None and opened_at.path == rule.path:
            try:
                found = time_at(opened_at, texts, None)
            except ValueError:
                continue
            return found if isinstance(found, NoTime) else compact(found.micros)
    return text


def _short(name: str, prefix: str) -> str:
    """An id that is too long as a digest of it."""
    if len(name) <= MAX_ID_CHARACTERS:
        return name
    return (
        f"{prefix[: MAX_ID_CHARACTERS - _DIGEST]}{hashlib.sha256(name.encode(errors='replace')).hexdigest()[:_DIGEST]}"
    )


def _fact(fact: str, message: JsonMessage) -> Iterator[ItemOutcome]:
    """The events of one fact. Raises ValueError when its time is missing or wrong."""
    rules = message.rules
    if fact == OPENED:
        yield _opened(message)
        return
    if fact == RESOLVED:
        at = _time(message, "resolved_at", rules.resolved_at)
        if rules.is_one_incident_for_ever():
            yield from _opened_before(message, at)
        yield _event(message, fact, at, {"who": _who(message)})
        return
    at = _time(message, "time", rules.time)
    if fact == RECLASSIFIED:
        found = _classified(message)
        if isinstance(found, RejectedItem):
            yield found
            return
        yield _event(message, fact, at, classification_fields(found))
        yield from without_tier(message.source, found, message.item)
    elif fact == REOPENED:
        yield _event(message, fact, at, {})
    elif fact in WAITING:
        yield from _waiting_ended(message, at, besides=fact)  # it waits for one at a time
        yield _event(message, "waiting", at, {"on": WAITING[fact], "who": _who(message)}, f"waiting-{WAITING[fact]}")
    elif fact == WAITING_ENDED:
        yield from _waiting_ended(message, at)
    elif fact == UPDATED:
        yield _updated(message, at)
    else:
        yield _event(message, fact, at, {"who": _who(message)})


def _waiting_ended(message: JsonMessage, at: int, besides: str = "") -> Iterator[ItemOutcome]:
    """The end of whatever the mapping lets an incident wait for; of what it does not wait for it has no effect."""
    for name in sorted(WAITING.keys() & set(message.rules.facts()) - {besides}):
        data: dict[str, object] = {"on": WAITING[name], "who": _who(message)}
        yield _event(message, WAITING_ENDED, at, data, f"{WAITING_ENDED}-{WAITING[name]}")


def _classified(message: JsonMessage) -> Classified | RejectedItem:
    found = classify(message.source, message.texts)
    return found if isinstance(found, Classified) else RejectedItem(message.item, "invalid", found.reason)


def _opened(message: JsonMessage) -> ItemOutcome:
    classified = _classified(message)
    if isinstance(classified, RejectedItem):
        return classified
    rules, texts = message.rules, message.texts
    at = _time(message, "opened_at", rules.opened_at)
    name = f"{message.subject}-opened-{compact(at)}"
    if rules.opened_at:
        reported_at = _reported_at(rules, texts, at)
        name = name if reported_at == at else f"{name}-{compact(reported_at)}"
    ticket = None if rules.ticket is None else next(iter(texts.at(rules.ticket)), None)
    data = opened_fields(classified, rules.channel, ticket)
    return _as_event(message, "incident.opened", name, at, data)


def _opened_before(message: JsonMessage, at: int) -> Iterator[EventItem]:
    """The opening of an incident whose end may be the first that is heard of it. It would wait for the next opening,
    and count as at that (R2, R4): the next outage would end as it begins."""
    classified = _classified(message)
    if isinstance(classified, Classified):
        # It sorts behind the opening of an outage that begins at this instant.
        name = f"{message.subject}-opened-{compact(at)}-{RESOLVED}"
        opening = _as_event(message, "incident.opened", name, at, opened_fields(classified, message.rules.channel))
        yield opening._replace(optional=True)


def _reported_at(rules: BodyRules, texts: PayloadTexts, otherwise: int) -> int:
    for rule in rules.time:
        if rule.path is not None and not isinstance(found := time_at(rule, texts, None), NoTime):
            return found.micros
    return otherwise


def _updated(message: JsonMessage, at: int) -> ItemOutcome:
    rules, texts = message.rules, message.texts
    text = _first(rules.text, texts)
    visibility = _first(rules.visibility, texts) or "internal"  # better late than wrongly met
    data: dict[str, object] = {
        "who": _who(message),
        "visibility": visibility,
        "text": None if text is None else truncate_text(text),
    }
    if _message_id(message) is not None:
        return _event(message, UPDATED, at, data)
    # Two comments of one second are two events.
    digest = hashlib.sha256(repr(sorted(data.items(), key=str)).encode(errors="replace")).hexdigest()[:8]
    return _event(message, UPDATED, at, data, f"{UPDATED}-{digest}")


def _who(message: JsonMessage) -> dict[str, object]:
    """Who acted. Authors of unknown kind never stop a clock."""
    rules = message.rules
    kind = _first(rules.author, message.texts) or ("monitor" if rules.channel == "monitor" else "system")
    identity = _first(rules.who, message.texts)
    return {"kind": kind} if identity is None else {"kind": kind, "id": identity}


def _first(rules: tuple[MappingRule, ...], texts: PayloadTexts) -> str | None:
    return next(iter(first_match(rules, texts)[0]), None)


def _time(message: JsonMessage, key: str, rules: tuple[TimeRule, ...]) -> int:
    """The time of a fact: its own, else that of the message. Raises ValueError where the body has neither."""
    tried = []
    for name, each in (*((key, rule) for rule in rules), *(("time", rule) for rule in message.rules.time)):
        found = time_at(each, message.texts, message.received_at)
        if not isinstance(found, NoTime):
            if found.note:
                message.notes[f"{name}: {found.note}"] = None
            return found.micros
        tried.append(f"{name}: {found.reason}")
    raise ValueError(" and ".join(dict.fromkeys(tried)))


def _message_id(message: JsonMessage) -> str | None:
    path = message.rules.message
    return None if path is None else next(iter(message.texts.at(path)), None)


def _event(message: JsonMessage, kind: str, at: int, data: dict[str, object], name: str | None = None) -> EventItem:
    change = _message_id(message) or compact(at)
    return _as_event(message, f"incident.{kind}", f"{message.subject}-{name or kind}-{change}", at, data)


def _as_event(message: JsonMessage, event_type: str, name: str, at: int, data: dict[str, object]) -> EventItem:
    event_id = _short(name, f"{event_type.partition('.')[2]}-")
    time = format_rfc3339(at)
    return EventItem(message.item, event(event_type, event_id, message.source.source, message.subject, time, data))


def _views(payload: object, source: Source, receipt: Receipt) -> Iterator[tuple[str, object]]:
    found = iter(()) if source.body is None else messages(payload, source.body, receipt.headers)
    return iter(()) if isinstance(found, RejectedItem) else found


def left_out(payload: object, source: Source) -> int:
    """How many items the sender reports to have left out, where the mapping says where it does."""
    path = None if source.body is None else source.body.left_out
    given = next(iter(lookup(payload, path)), "0") if path is not None else "0"
    return min(int(given), _MAX_LEFT_OUT) if given.isascii() and given.isdecimal() and len(given) < 20 else 0


def _parse_path(text: str) -> FieldPath:
    return parse_header(text) if text.startswith(PREFIX) else parse_expression(text)


FORMAT = SourceFormat(
    name="json",
    authenticate=json_webhook_authentication.authenticate,
    looks_like=lambda payload: isinstance(payload, dict),
    translate=translate,
    keys=(*(each for each in INCIDENT_KEYS if each != "states"), *BODY_KEYS),
    required_keys=("body", "component", "impact", "tenants"),
    views=_views,
    parse_path=_parse_path,
    without_secrets=json_webhook_secrets.without_secrets,
    truncated=left_out,
)
