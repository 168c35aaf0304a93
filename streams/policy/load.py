"""Policy files to policies: every mistake at once, defaults filled in."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from fractions import Fraction
from functools import partial
from pathlib import Path

from streams.config_files.problems import KeyPath, Place, PolicyError, Problem, dotted
from streams.config_files.scalars import close_to, days_of, listed, minutes_of
from streams.config_files.yaml_reader import check_content, read_checked
from streams.installed_files import shipped
from streams.policy.digest import digest_of, exact
from streams.policy.document import PolicyDocument, RuleKeys
from streams.policy.targets import SeverityKeys, TargetKeys, UpdateKeys
from streams.sla.policy import (
    BusinessHours,
    Component,
    CreditRule,
    Policy,
    Responds,
    Rule,
    SeverityTargets,
    StatementTimes,
    Target,
    Text,
    UpdateTarget,
)
from streams.sla.severity import SEVERITIES


def load_policy(path: Path) -> Policy:
    """The policy of one file. Raises PolicyError with every problem in it, OSError when it can't be read."""
    return policy_of(read_document(path))


def load_policies(root: Path) -> list[Policy]:
    """All of `root/<name>/<version>.yaml`, by name and version. Raises PolicyError with the problems of all files."""
    problems: list[Problem] = []
    found: list[tuple[Path, Policy]] = []
    if not root.is_dir():
        raise PolicyError([Problem(str(root), Place(1, 1), "", "there is no such directory of policies")])
    for path in policy_files(root):
        try:
            found.append((path, policy_of(read_document(path, in_tree=True))))
        except PolicyError as error:
            problems += error.problems
    problems += same_starts(found)
    if not found and not problems:
        problems.append(Problem(str(root), Place(1, 1), "", "no policies here; allowed: <name>/<version>.yaml"))
    if problems:
        raise PolicyError(problems)
    return [policy for _, policy in found]


def same_starts(found: Iterable[tuple[Path, Policy]]) -> list[Problem]:
    """Versions of one policy that start at the same instant, so none can be chosen (R18)."""
    problems: list[Problem] = []
    started: dict[tuple[str, int | None], Path] = {}
    for path, policy in found:
        other = started.setdefault((policy.name, policy.effective_from), path)
        if other != path:
            what = f"{other.name} starts at the same instant; allowed: one version of a policy from any instant on"
            problems.append(Problem(str(path), Place(1, 1), "effective_from", what))
    return problems


def policy_files(root: Path) -> list[Path]:
    """Every file that means to be a policy of the tree (a wrong file extension is reported when it is read)."""
    return sorted(path for path in root.glob("*/*") if path.suffix in {".yaml", ".yml"} and path.is_file())


def default_policies_dir() -> Path:
    """The policies that come with the product: those of a checkout, else those of the installation."""
    return shipped("policies")


def read_document(path: Path, *, in_tree: bool = False) -> PolicyDocument:
    """The checked document of a file; in a policies tree its directory and file name must match too."""
    cross_checks = partial(_cross_checks, tree=path if in_tree else None)
    return read_checked(path, PolicyDocument, cross_checks, PolicyError)[0]


def document_of(raw: bytes, file: str) -> PolicyDocument:
    """The checked document in the content of a policy file; problems name `file`. Raises PolicyError with all of
    them."""
    return check_content(raw, file, PolicyDocument, partial(_cross_checks, tree=None), PolicyError)[0]


def _cross_checks(data: object, file: str, places: Mapping[KeyPath, Place], tree: Path | None) -> Iterable[Problem]:
    """Checks across several keys, made even when other keys are wrong."""
    if not isinstance(data, dict):
        return

    def problem(path: KeyPath, what: str) -> Problem:
        return Problem(file, places.get(path, Place(1, 1)), dotted(path), what)

    rules = data.get("rules")
    declared = data.get("components")
    seen: dict[str, int] = {}
    for index, rule in enumerate(rules if isinstance(rules, list) else []):
        if not isinstance(rule, dict):
            continue
        name = rule.get("name")
        if isinstance(name, str) and name in seen:
            path: KeyPath = ("rules", index, "name")
            yield problem(path, f"rule {seen[name] + 1} is called {name!r} too; allowed: a name of its own")
        elif isinstance(name, str):
            seen[name] = index
        when = rule.get("when")
        named = when.get("component") if isinstance(when, dict) else None
        for position, component in enumerate(named if isinstance(named, list) else []):
            if isinstance(declared, dict) and isinstance(component, str) and component not in declared:
                path = ("rules", index, "when", "component", position)
                known = listed(declared)
                yield problem(path, f"{component!r} is not declared{close_to(component, declared)}; allowed: {known}")
    if tree is not None:
        if tree.suffix != ".yaml":
            yield problem((), f"policies end in .yaml, this one in {tree.suffix}; allowed: {tree.stem}.yaml")
        for key, expected in (("policy", tree.parent.name), ("version", tree.stem)):
            if isinstance(data.get(key), str) and data[key] != expected:
                where = "the directory" if key == "policy" else "the file"
                yield problem((key,), f"{data[key]!r} is not how {where} is called; allowed: {expected!r}")


def filled_in(document: PolicyDocument) -> dict[str, object]:
    """The document as data with every default filled in, in the order of the schema."""
    data: dict[str, object] = document.model_dump(mode="json")
    return data


def policy_of(document: PolicyDocument) -> Policy:
    """The values that the core works with: durations in microseconds, percentages as fractions of 100."""
    calendar, credit, statements = document.calendar, document.credit, document.statements
    hours: list[tuple[int, int] | None] = [None] * 7
    for days, span in calendar.hours.items():
        for day in days_of(days):
            hours[day] = minutes_of(span)
    return Policy(
        name=document.policy,
        version=document.version,
        digest=digest_of(document),
        effective_from=document.effective_from,
        title=Text(document.title.en, document.title.ja),
        components={
            name: Component(Text(part.title.en, part.title.ja), part.covered, part.guaranteed)
            for name, part in document.components.items()
        },
        severities={name: _severity(getattr(document.severities, name)) for name in SEVERITIES},
        rules=tuple(_rule(rule) for rule in document.rules),
        default_severity=document.default_severity,
        responds=tuple(Responds(one.event, frozenset(one.who), _set(one.visibility)) for one in document.responds),
        calendar=BusinessHours(calendar.zone, tuple(hours), calendar.holidays),
        guarantee=Fraction(document.guarantee.percent),
        downtime_impacts=frozenset(document.downtime.impacts),
        maintenance_notice=document.maintenance.notice,
        credit=CreditRule(
            below_percent=Fraction(credit.below_percent),
            percent_per_point=Fraction(credit.percent_per_point),
            cap_percent=Fraction(credit.cap_percent),
            step=credit.step,
            claim=credit.claim,
            claim_within=credit.claim_within,
        ),
        statements=StatementTimes(statements.grace, statements.provisional_every, statements.adjust_after),
    )


def _severity(keys: SeverityKeys) -> SeverityTargets:
    return SeverityTargets(
        response=_target(keys.response),
        updates=_updates(keys.updates),
        resolution=_target(keys.resolution),
        warn_at=tuple(exact(share) for share in keys.warn_at),
        pause_on=frozenset(keys.pause_on),
        channels=tuple(keys.channels),
    )


def _target(keys: TargetKeys | None) -> Target | None:
    return Target(keys.within, keys.clock or "always", keys.business_days) if keys is not None else None


def _updates(keys: UpdateKeys | None) -> UpdateTarget | None:
    if keys is None:
        return None
    asked = _target(keys.on_request)
    if asked is not None:
        return UpdateTarget(asked, on_request=True)
    return UpdateTarget(Target(keys.every, keys.clock or "always"), remind_before=keys.reminder)


def _rule(rule: RuleKeys) -> Rule:
    when = rule.when
    tiers = None if when.tier is None else frozenset(None if tier == "unknown" else tier for tier in when.tier)
    return Rule(rule.name, rule.severity, _set(when.impact), tiers, _set(when.component), _set(when.scope))


def _set(words: Sequence[str] | None) -> frozenset[str] | None:
    return None if words is None else frozenset(words)
