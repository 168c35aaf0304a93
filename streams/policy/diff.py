"""What differs between two policies, in terms of the policy: `P1 response 2 h → 1 h`."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from fractions import Fraction
from typing import NamedTuple

from streams.config_files.scalars import WEEKDAYS, exact_decimal
from streams.policy.phrases import policy_phrases
from streams.sla.instants import DAY, HOUR, MINUTE, SECOND, format_rfc3339
from streams.sla.policy import Component, Policy, Rule, SeverityTargets, Target, UpdateTarget
from streams.sla.severity import SEVERITIES


class PolicyChange(NamedTuple):
    """One difference: the policy's term, its old and its new value; `old` is None where it was added, `new` is None
    where it was removed. `text` is one line for people."""

    term: str
    old: str | None
    new: str | None
    text: str


def policy_changes(old: Policy, new: Policy) -> list[PolicyChange]:
    """Every difference except name and version, in the order of a policy file; empty when there is none."""
    return [
        *_changed("in force from", _since(old), _since(new)),
        *_changed("title", old.title.en, new.title.en),
        *_changed("title in Japanese", old.title.ja, new.title.ja),
        *_components(old, new),
        *(change for name in SEVERITIES for change in _severity(name, old.severities[name], new.severities[name])),
        *_rules(old, new),
        *_changed("severity when no rule fits", old.default_severity, new.default_severity),
        *_changed("counts as response", _responds(old), _responds(new)),
        *_changed("business time", _hours(old), _hours(new)),
        *_changed("time zone", old.calendar.zone, new.calendar.zone),
        *_changed("holidays", old.calendar.holidays or "none", new.calendar.holidays or "none"),
        *_changed("guarantee", _percent(old.guarantee), _percent(new.guarantee)),
        *_downtime(old, new),
        *_changed("maintenance notice", span(old.maintenance_notice), span(new.maintenance_notice)),
        *_credit(old, new),
        *_changed("final statement after", span(old.statements.grace), span(new.statements.grace)),
        *_changed(
            "provisional statement every",
            span(old.statements.provisional_every),
            span(new.statements.provisional_every),
        ),
        *_changed("adjusted statement after", span(old.statements.adjust_after), span(new.statements.adjust_after)),
    ]


def span(micros: int) -> str:
    """A duration in short: 2 h, 1 h 30 min, 60 days."""
    if micros == 0:
        return "none"
    days = micros // DAY if micros > 3 * DAY else 0
    rest, parts = micros - days * DAY, [f"{days} days"] if days else []
    for size, unit in ((HOUR, "h"), (MINUTE, "min")):
        count, rest = divmod(rest, size)
        parts += [f"{count} {unit}"] if count else []
    if rest:
        parts.append(f"{rest // SECOND}.{rest % SECOND:06d}".rstrip("0").rstrip(".") + " s")
    return " ".join(parts)


def _changed(term: str, old: str, new: str) -> Iterator[PolicyChange]:
    if old != new:
        yield PolicyChange(term, old, new, f"{term} {old} → {new}")


def _since(policy: Policy) -> str:
    return "the beginning" if policy.effective_from is None else format_rfc3339(policy.effective_from)


def _percent(value: Fraction) -> str:
    return f"{exact_decimal(value)} %"


# -- components ------------------------------------------------------------------------------------------------------


def _components(old: Policy, new: Policy) -> Iterator[PolicyChange]:
    for name in [*old.components, *(name for name in new.components if name not in old.components)]:
        before, after = old.components.get(name), new.components.get(name)
        term = f"component {name}"
        if before is None and after is not None:
            yield PolicyChange(term, None, _component(after), f"{term} added: {_component(after)}")
        elif before is not None and after is None:
            yield PolicyChange(term, _component(before), None, f"{term} removed: it was {_component(before)}")
        elif before is not None and after is not None:
            yield from _component_changes(term, before, after)


def _component(part: Component) -> str:
    return f"{_yes('covered', yes=part.covered)}, {_yes('guaranteed', yes=part.guaranteed)}"


def _yes(word: str, *, yes: bool) -> str:
    return word if yes else f"not {word}"


def _component_changes(term: str, old: Component, new: Component) -> Iterator[PolicyChange]:
    for word, before, after in (
        ("covered", old.covered, new.covered),
        ("guaranteed", old.guaranteed, new.guaranteed),
    ):
        if before != after:
            now = f"{term}: now {word}" if after else f"{term}: no longer {word}"
            yield PolicyChange(term, _yes(word, yes=before), _yes(word, yes=after), now)
    yield from _changed(f"{term} title", old.title.en, new.title.en)
    yield from _changed(f"{term} title in Japanese", old.title.ja, new.title.ja)


# -- severities ------------------------------------------------------------------------------------------------------


def _severity(name: str, old: SeverityTargets, new: SeverityTargets) -> Iterator[PolicyChange]:
    yield from _changed(f"{name} response", _target(old.response), _target(new.response))
    yield from _changed(f"{name} updates", _updates(old.updates), _updates(new.updates))
    yield from _changed(f"{name} update reminder", _reminder(old.updates), _reminder(new.updates))
    yield from _changed(f"{name} resolution", _target(old.resolution), _target(new.resolution))
    yield from _changed(f"{name} warnings at", _warnings(old), _warnings(new))
    yield from _changed(f"{name} pauses while waiting for", _listed(old.pause_on), _listed(new.pause_on))
    yield from _changed(f"{name} reported by", _channels(old), _channels(new))


def _channels(targets: SeverityTargets) -> str:
    return _listed(targets.channels) if targets.channels else "any way"


def _target(target: Target | None) -> str:
    if target is None:
        return "no target"
    if target.business_days is not None:
        return f"{target.business_days} business day{'' if target.business_days == 1 else 's'}"
    assert target.within is not None
    return span(target.within) + (" of business time" if target.clock == "business" else "")


def _updates(updates: UpdateTarget | None) -> str:
    if updates is None:
        return "no target"
    return ("on request, within " if updates.on_request else "every ") + _target(updates.target)


def _reminder(updates: UpdateTarget | None) -> str:
    return "none" if updates is None or not updates.remind_before else f"{span(updates.remind_before)} before"


def _warnings(targets: SeverityTargets) -> str:
    return ", ".join(_percent(share * 100) for share in targets.warn_at) or "none"


def _listed(names: Iterable[str]) -> str:
    return ", ".join(sorted(names)) or "none"


# -- rules -----------------------------------------------------------------------------------------------------------


def _rules(old: Policy, new: Policy) -> Iterator[PolicyChange]:
    before, after = {rule.name: rule for rule in old.rules}, {rule.name: rule for rule in new.rules}
    for name, rule in before.items():
        if name not in after:
            yield PolicyChange(f"rule {name}", _rule(rule), None, f"rule {name} removed: it was {_rule(rule)}")
        elif _rule(rule) != _rule(after[name]):
            yield from _changed(f"rule {name}:", _rule(rule), _rule(after[name]))
    names = list(after)
    for index, name in enumerate(names):
        if name not in before:
            where = f"tried before {names[index + 1]}" if index + 1 < len(names) else "tried last"
            added = _rule(after[name])
            yield PolicyChange(f"rule {name}", None, added, f"rule {name} added: {added}, {where}")
    both = [name for name in before if name in after], [name for name in after if name in before]
    yield from _changed("rules in the order", *(", ".join(order) for order in both))


def _rule(rule: Rule) -> str:
    phrases = policy_phrases("en")
    what = "any impact" if rule.impact is None else _listed(phrases.impacts[one] for one in rule.impact)
    limits = []
    if rule.tier is not None:
        numbers = sorted(str(tier) for tier in rule.tier if tier is not None)
        limits.append(f"tier {', '.join([*numbers, *(['unknown'] if None in rule.tier else [])])}")
    if rule.component is not None:
        limits.append(_listed(rule.component))
    if rule.scope is not None:
        limits.append(_listed(phrases.scopes[one] for one in rule.scope))
    return what + (f" ({'; '.join(limits)})" if limits else "") + f" is {rule.severity}"


def _responds(policy: Policy) -> str:
    return "; ".join(
        f"{one.event} by {_listed(one.who)}" + (f" ({_listed(one.visibility)})" if one.visibility else "")
        for one in policy.responds
    )


# -- calendar, guarantee, credit -------------------------------------------------------------------------------------


def _hours(policy: Policy) -> str:
    def time(minutes: int) -> str:
        return f"{minutes // 60:02d}:{minutes % 60:02d}"

    runs: list[tuple[list[str], str]] = []
    for day, hours in zip(WEEKDAYS, policy.calendar.hours, strict=True):
        hours_text = "closed" if hours is None else f"{time(hours[0])}-{time(hours[1])}"
        if runs and runs[-1][1] == hours_text:
            runs[-1][0].append(day.capitalize())
        else:
            runs.append(([day.capitalize()], hours_text))
    named = ((days[0] if len(days) == 1 else f"{days[0]}-{days[-1]}", hours_text) for days, hours_text in runs)
    return ", ".join(f"{days} {hours_text}" for days, hours_text in named if hours_text != "closed") or "never"


def _downtime(old: Policy, new: Policy) -> Iterator[PolicyChange]:
    words = policy_phrases("en").impacts
    for impact, word in words.items():
        before, after = impact in old.downtime_impacts, impact in new.downtime_impacts
        if before != after:
            text = f"{word}: {'now counts' if after else 'no longer counts'} as downtime"
            yield PolicyChange(f"downtime of {word}", str(before).lower(), str(after).lower(), text)


def _credit(old: Policy, new: Policy) -> Iterator[PolicyChange]:
    before, after = old.credit, new.credit
    yield from _changed("credit below", _percent(before.below_percent), _percent(after.below_percent))
    yield from _changed("credit per point", _percent(before.percent_per_point), _percent(after.percent_per_point))
    yield from _changed("credit at most", _percent(before.cap_percent), _percent(after.cap_percent))
    yield from _changed("credit step", before.step, after.step)
    yield from _changed("credit claim", before.claim, after.claim)
    yield from _changed("credit to be claimed within", span(before.claim_within), span(after.claim_within))
