"""What a policy file means: its values, the contract's defaults, the digest, trees of versions, review warnings."""

from __future__ import annotations

import os
import pickle
import subprocess
import sys
from fractions import Fraction
from pathlib import Path
from typing import Literal, cast

import pytest
import yaml
from policy_sample import SMALL, write
from pydantic import Field, create_model

from streams.config_files.problems import PolicyError
from streams.config_files.scalars import format_duration, parse_duration
from streams.policy.digest import FIRST_KEYS, digest_of
from streams.policy.document import ComponentKeys, GuaranteeKeys, PolicyDocument, RuleKeys
from streams.policy.lint import warnings_of
from streams.policy.load import default_policies_dir, filled_in, load_policies, load_policy, read_document
from streams.policy.targets import PolicyKeys, SeveritiesKeys, SeverityKeys, severity_field
from streams.sla.instants import DAY, HOUR, MINUTE, SECOND, parse_rfc3339
from streams.sla.policy import Policies, Target, UpdateTarget
from streams.sla.severity import Severity
from tests.waiting import TIMEOUT_S


def test_every_optional_key_gets_the_contracts_default(tmp_path: Path) -> None:
    policy = load_policy(write(tmp_path, SMALL))
    p1 = policy.severities["P1"]
    assert p1.response == Target(within=2 * HOUR)
    assert p1.updates == UpdateTarget(Target(within=HOUR), remind_before=10 * MINUTE)  # a sixth of the window
    assert p1.warn_at == (Fraction(1, 2), Fraction(3, 4), Fraction(9, 10))
    assert (p1.resolution, p1.pause_on, p1.channels) == (None, frozenset(), ())
    assert policy.effective_from is None
    assert policy.default_severity == "P2"
    assert [(one.event, one.who, one.visibility) for one in policy.responds] == [
        ("incident.responded", frozenset({"support"}), None),
        ("incident.updated", frozenset({"support"}), frozenset({"public"})),
    ]
    assert (policy.calendar.zone, policy.calendar.holidays) == ("UTC", None)
    assert policy.calendar.hours == ((540, 1020),) * 5 + (None, None)
    assert policy.guarantee == Fraction(999, 10)
    assert policy.downtime_impacts == {"complete_outage", "critical_performance", "material_aspect"}
    assert policy.maintenance_notice == 0
    credit = policy.credit
    assert (credit.below_percent, credit.percent_per_point, credit.cap_percent) == (99, 10, 100)
    assert (credit.step, credit.claim, credit.claim_within) == ("whole", "required", 60 * DAY)
    times = policy.statements
    assert (times.grace, times.provisional_every, times.adjust_after) == (72 * HOUR, 24 * HOUR, HOUR)


def test_the_shipped_policy_says_what_semantics_says() -> None:
    policy = load_policy(default_policies_dir() / "scalr-emergency" / "1.yaml")
    promised = {
        name: (one.response, one.updates, one.channels, one.resolution, one.pause_on)
        for name, one in policy.severities.items()
    }
    assert promised == {
        "P1": (Target(2 * HOUR), UpdateTarget(Target(HOUR), remind_before=10 * MINUTE), ("phone",), None, frozenset()),
        "P2": (Target(4 * HOUR), UpdateTarget(Target(2 * HOUR), False, 20 * MINUTE), ("phone",), None, frozenset()),
        "P3": (Target(24 * HOUR), UpdateTarget(Target(6 * HOUR), False, 60 * MINUTE), ("ticket",), None, frozenset()),
        "P4": (
            Target(business_days=1),
            UpdateTarget(Target(business_days=1), on_request=True),
            ("ticket",),
            None,
            frozenset(),
        ),
    }
    assert {name for name in policy.components if policy.covers(name)} == {
        "ui",
        "api",
        "auto_healing",
        "guest_agent",
        "auto_scaling",
    }
    assert {name for name in policy.components if policy.guarantees(name)} == {"ui", "api", "auto_scaling", "backups"}
    assert [(rule.impact, rule.tier, rule.severity) for rule in policy.rules] == [
        (frozenset({"complete_outage", "critical_performance"}), None, "P1"),
        (frozenset({"material_aspect"}), frozenset({1}), "P1"),
        (frozenset({"material_aspect"}), frozenset({2, 3, None}), "P2"),
        (frozenset({"processing_delay"}), None, "P3"),
        (frozenset({"cosmetic"}), None, "P4"),
    ]


def test_the_shipped_tree_loads_and_raises_no_warning() -> None:
    root = default_policies_dir()
    policies = load_policies(root)
    assert {"code-hosting", "demo-live", "scalr-emergency"} <= {policy.name for policy in policies}
    assert Policies.of(policies, "code-hosting").at(None, 0).name == "code-hosting"
    for path in root.glob("*/*.yaml"):
        assert warnings_of(read_document(path, in_tree=True)) == []


def test_a_tree_gathers_the_problems_of_all_its_files(tmp_path: Path) -> None:
    write(tmp_path, SMALL, "other/1.yaml")
    write(tmp_path, SMALL.replace("PT2H", "2h"), "small/2.yaml")
    write(tmp_path, SMALL, "small/1.yml")
    with pytest.raises(PolicyError) as caught:
        load_policies(tmp_path)
    told = {(Path(problem.file).name, problem.key) for problem in caught.value.problems}
    assert told == {
        ("1.yaml", "policy"),
        ("2.yaml", "version"),
        ("2.yaml", "severities.P1.response.within"),
        ("1.yml", ""),
    }


def test_two_versions_from_the_same_instant_are_refused(tmp_path: Path) -> None:
    write(tmp_path, SMALL, "small/1.yaml")
    second = SMALL.replace('version: "1"', 'version: "2"')
    write(tmp_path, second, "small/2.yaml")
    with pytest.raises(PolicyError, match=r"2\.yaml:1: effective_from: 1\.yaml starts at the same instant"):
        load_policies(tmp_path)
    write(tmp_path, "effective_from: 2026-01-01T00:00:00+09:00\n" + second, "small/2.yaml")
    starts = [policy.effective_from for policy in load_policies(tmp_path)]
    assert starts == [None, parse_rfc3339("2025-12-31T15:00:00Z")]


def test_an_empty_or_absent_tree_is_told(tmp_path: Path) -> None:
    with pytest.raises(PolicyError, match="no policies here"):
        load_policies(tmp_path)
    with pytest.raises(PolicyError, match="no such directory"):
        load_policies(tmp_path / "absent")


@pytest.mark.parametrize(
    "same",
    [
        "# a comment\n" + SMALL,
        SMALL.replace("PT2H", "PT120M"),
        SMALL + 'guarantee: {percent: "99.90"}\n',
        SMALL.replace("{every: PT1H}", "{remind_before: PT600S, clock: always, every: PT60M}"),
        SMALL.replace("P3: {response: null}", "P3: {response: null, warn_at: [0.50, .75, 0.900]}"),
        SMALL + "default_severity: P2\n",
        yaml.safe_dump(yaml.safe_load(SMALL)),
    ],
    ids=["comment", "unit", "zeros", "default written out", "decimals", "another default", "order and layout"],
)
def test_the_digest_is_of_the_meaning_not_of_the_text(tmp_path: Path, same: str) -> None:
    assert load_policy(write(tmp_path, same, "b.yaml")).digest == load_policy(write(tmp_path, SMALL)).digest


@pytest.mark.parametrize(("old", "new"), [("PT2H", "PT3H"), ("小", "大"), ("name: rest", "name: others")])
def test_another_meaning_has_another_digest(tmp_path: Path, old: str, new: str) -> None:
    other = load_policy(write(tmp_path, SMALL.replace(old, new), "b.yaml"))
    assert other.digest != load_policy(write(tmp_path, SMALL)).digest


def test_the_digest_stays_what_it_was(tmp_path: Path) -> None:
    """Logs name it (R18): if this fails, released digests no longer fit their files."""
    digest = load_policy(write(tmp_path, SMALL)).digest
    assert digest == "151129a30ad781723f8c09d64b8ea5be4ef4b4cb3b505747cfb9e593b5909d35"


@pytest.mark.parametrize(
    ("name", "digest"),
    [
        ("code-hosting", "a0a570c0ac8fb25e5208186a6fef4dc217d12c5990a4a5b9a3e06a83a5e13409"),
        ("demo-live", "4f3e61255d38ad0756ab6b3b1eb2e96eab2a6b54cf0e6505e03eb337a30ab155"),
        ("scalr-emergency", "cd3b9c2c1e5634b7428af0fbfd4d29e3c9c3ddd72e8ac70363065589adeb7855"),
    ],
)
def test_shipped_digests_stay_what_they_were(name: str, digest: str) -> None:
    assert load_policy(default_policies_dir() / name / "1.yaml").digest == digest


class CeilingKeys(PolicyKeys):
    """A section that a later release adds."""

    percent: str = "50"
    per: Literal["month", "year"] = "month"


class LaterGuarantee(GuaranteeKeys):
    measured_over: Literal["month", "quarter"] = "month"


class LaterComponent(ComponentKeys):
    owner: str | None = None


class LaterRule(RuleKeys):
    labels: list[str] = Field(default_factory=list)


class LaterSeverity(SeverityKeys):
    escalate: bool = False


#: As a later release defines it: an entry in `streams/sla/severity.py`.
WithP5 = create_model("WithP5", __base__=SeveritiesKeys, **{"P5": severity_field(cast(Severity, "P5"), "trivial")})


class LaterSeverities(WithP5):
    P1: LaterSeverity


class LaterDocument(PolicyDocument):
    """The document model with a new key at every depth: section, mapping, list, severity, and a new section."""

    guarantee: LaterGuarantee = Field(default=LaterGuarantee())
    components: dict[str, LaterComponent]
    rules: list[LaterRule] = Field(default=[])
    severities: LaterSeverities
    ceiling: CeilingKeys = Field(default=CeilingKeys())


#: SMALL with a new key set, and that key at its default.
NEW_KEYS = {
    "section's key": ("guarantee: {measured_over: quarter}\n", "guarantee: {measured_over: month}\n"),
    "section": ('ceiling: {percent: "60"}\n', 'ceiling: {percent: "50", per: month}\n'),
}


@pytest.mark.parametrize("path", sorted(default_policies_dir().glob("*/*.yaml")), ids=lambda path: path.parent.name)
def test_keys_of_a_later_release_leave_digests_as_they_were(path: Path) -> None:
    data = yaml.safe_load(path.read_text())
    assert digest_of(LaterDocument.model_validate(data)) == digest_of(PolicyDocument.model_validate(data))


@pytest.mark.parametrize(("new", "default"), NEW_KEYS.values(), ids=NEW_KEYS)
def test_a_later_key_counts_only_where_it_is_not_at_its_default(new: str, default: str) -> None:
    before = digest_of(PolicyDocument.model_validate(yaml.safe_load(SMALL)))
    assert digest_of(LaterDocument.model_validate(yaml.safe_load(SMALL + default))) == before
    assert digest_of(LaterDocument.model_validate(yaml.safe_load(SMALL + new))) != before


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("covered: true", "covered: true, owner: web"),
        ("name: outage", "name: outage, labels: [paged]"),
        ("response: {within: PT2H}", "response: {within: PT2H}\n    escalate: true"),
        ("  P4:", "  P5: {response: {within: PT8H}}\n  P4:"),
    ],
    ids=["mapping", "list", "severity", "new severity"],
)
def test_a_later_key_that_is_set_counts_at_every_depth(old: str, new: str) -> None:
    text = SMALL.replace(old, new)
    assert text != SMALL
    before = digest_of(PolicyDocument.model_validate(yaml.safe_load(SMALL)))
    assert digest_of(LaterDocument.model_validate(yaml.safe_load(text))) != before


def test_the_digest_covers_only_keys_that_there_are() -> None:
    assert [model.__name__ for model, names in FIRST_KEYS.items() if not names <= set(model.model_fields)] == []


def test_the_filled_in_document_is_the_same_policy() -> None:
    for path in default_policies_dir().glob("*/*.yaml"):
        document = read_document(path)
        again = PolicyDocument.model_validate(filled_in(document))
        assert digest_of(again) == digest_of(document)
        assert filled_in(again) == filled_in(document)


@pytest.mark.parametrize(
    ("text", "micros", "form"),
    [
        ("PT2H", 2 * HOUR, "PT2H"),
        ("P60D", 60 * DAY, "P60D"),
        ("PT72H", 72 * HOUR, "PT72H"),
        ("P1W", 7 * DAY, "P7D"),
        ("P1DT12H", 36 * HOUR, "PT36H"),
        ("PT90M", 90 * MINUTE, "PT1H30M"),
        ("PT0.25S", SECOND // 4, "PT0.25S"),
        ("PT0.000001S", 1, "PT0.000001S"),
        ("PT0S", 0, "PT0S"),
    ],
)
def test_durations_are_exact_and_have_one_form(text: str, micros: int, form: str) -> None:
    assert parse_duration(text) == micros
    assert format_duration(micros) == form
    assert parse_duration(form) == micros


@pytest.mark.parametrize("text", ["P", "PT", "P1Y", "P1M", "P1Y2M", "P1YT1H", "pt1h", "PT1H ", "PT1.5H", "PT２H", ""])
def test_other_durations_are_refused(text: str) -> None:
    with pytest.raises(ValueError, match="allowed: an ISO 8601 duration"):
        parse_duration(text)


def test_midnight_closes_a_day_and_named_days_are_kept(tmp_path: Path) -> None:
    text = SMALL.replace('{mon-fri: "09:00-17:00"}', '{mon-tue: "00:00-24:00", sun: "10:30-12:00"}')
    hours = load_policy(write(tmp_path, text)).calendar.hours
    assert hours == ((0, 1440), (0, 1440), None, None, None, None, (630, 720))


def test_a_rule_that_never_decides_is_found(tmp_path: Path) -> None:
    late = "  - {name: late, when: {impact: [cosmetic]}, severity: P4}\ncalendar:"
    found = warnings_of(read_document(write(tmp_path, SMALL.replace("calendar:", late))))
    assert found == [("rules[2]", "'late' never decides; before it come rest")]


def test_impacts_and_tiers_that_fall_to_the_default_are_found(tmp_path: Path) -> None:
    text = SMALL.replace("name: rest, when: {}", "name: rest, when: {impact: [cosmetic, processing_delay]}")
    text = text.replace("[complete_outage]", "[complete_outage, critical_performance], tier: [1, 2]")
    found = warnings_of(read_document(write(tmp_path, text)))
    assert [what for _, what in found] == [
        "no rule names complete_outage of tier 3, unknown, so default_severity P2 decides",
        "no rule names critical_performance of tier 3, unknown, so default_severity P2 decides",
        "no rule names material_aspect, so default_severity P2 decides",
    ]


def test_a_credit_above_the_guarantee_is_found(tmp_path: Path) -> None:
    found = warnings_of(read_document(write(tmp_path, SMALL + 'credit: {below_percent: "99.95"}\n')))
    assert [key for key, _ in found] == ["credit.below_percent"]


def test_opening_hours_of_another_process_are_equal_with_an_equal_hash() -> None:
    """A process hashes texts with a seed of its own, and what-if runs send policies to others."""
    hours = load_policies(default_policies_dir())[0].calendar
    sent = pickle.dumps(hours)
    own = """
import pickle, sys
from streams.sla.policy import BusinessHours
sent = pickle.loads(sys.stdin.buffer.read())
same = BusinessHours(sent.zone, sent.hours, sent.holidays)
print(sent == same and hash(sent) == hash(same))
"""
    environment = os.environ | {"PYTHONHASHSEED": "7"}
    ran = subprocess.run(
        [sys.executable, "-c", own], check=True, input=sent, env=environment, capture_output=True, timeout=TIMEOUT_S
    )
    assert ran.stdout.split() == [b"True"]
