"""`sla policy diff`: differences said in terms of the policy, in the order of a policy file; exit codes."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from click.testing import Result
from typer.testing import CliRunner

from cli.main import app
from streams.policy.diff import policy_changes, span
from streams.policy.load import default_policies_dir, load_policy
from streams.sla.instants import DAY, HOUR, MINUTE, SECOND

SHIPPED = default_policies_dir() / "scalr-emergency" / "1.yaml"
TEXT = SHIPPED.read_text(encoding="utf-8")


def changed(tmp_path: Path, *edits: tuple[str, str]) -> Path:
    """The shipped policy with parts of its text replaced."""
    text = TEXT
    for before, after in edits:
        assert before in text
        text = text.replace(before, after)
    file = tmp_path / "candidate.yaml"
    file.write_text(text, encoding="utf-8")
    return file


CASES = {
    "response": (("within: PT2H", "within: PT1H"), "P1 response 2 h → 1 h"),
    "business days": (
        ("response: {business_days: 1}", "response: {business_days: 2}"),
        "P4 response 1 business day → 2 business days",
    ),
    "no response": (("response: {within: PT24H, clock: always}", "response: null"), "P3 response 24 h → no target"),
    "updates": (("every: PT1H", "every: PT90M"), "P1 updates every 1 h → every 1 h 30 min"),
    "on request": (
        ("on_request: {business_days: 1}", "on_request: {business_days: 2}"),
        "P4 updates on request, within 1 business day → on request, within 2 business days",
    ),
    "reminder": (("remind_before: PT20M", "remind_before: PT5M"), "P2 update reminder 20 min before → 5 min before"),
    "covered": (
        ("covered: false, guaranteed: true", "covered: true, guaranteed: true"),
        "component backups: now covered",
    ),
    "guaranteed": (
        ("covered: false, guaranteed: true", "covered: false, guaranteed: false"),
        "component backups: no longer guaranteed",
    ),
    "component removed": (
        (
            "  backups: {title: {en: Backups, ja: バックアップ}, covered: false, guaranteed: true}",
            "",
        ),
        "component backups removed: it was not covered, guaranteed",
    ),
    "rule removed": (
        ("  - {name: material-tier-1, when: {impact: [material_aspect], tier: [1]}, severity: P1}\n", ""),
        "rule material-tier-1 removed: it was outage of an important part (tier 1) is P1",
    ),
    "rule added": (
        ("  - {name: delay,", "  - {name: calls, when: {scope: [platform]}, severity: P1}\n  - {name: delay,"),
        "rule calls added: any impact (everyone at once) is P1, tried before delay",
    ),
    "rule changed": (
        ("impact: [cosmetic]}, severity: P4", "impact: [cosmetic]}, severity: P3"),
        "rule cosmetic: cosmetic fault is P4 → cosmetic fault is P3",
    ),
    "default": (("default_severity: P2", "default_severity: P3"), "severity when no rule fits P2 → P3"),
    "hours": (("mon-fri", "mon-thu"), "business time Mon-Fri 09:00-17:00 → Mon-Thu 09:00-17:00"),
    "guarantee": (('percent: "99.9"', 'percent: "99.95"'), "guarantee 99.9 % → 99.95 %"),
    "downtime": (
        ("performance, material_aspect]}\nmaint", "performance]}\nmaint"),
        "outage of an important part: no longer counts as downtime",
    ),
    "notice": (("notice: PT0S", "notice: PT48H"), "maintenance notice none → 48 h"),
    "step": (("step: whole", "step: started"), "credit step whole → started"),
    "claim": (("claim_within: P60D", "claim_within: P30D"), "credit to be claimed within 60 days → 30 days"),
    "from": (
        ("effective_from: null", 'effective_from: "2026-07-01T00:00:00Z"'),
        "in force from the beginning → 2026-07-01T00:00:00Z",
    ),
}


@pytest.mark.parametrize("case", CASES)
def test_a_change_is_said_in_terms_of_the_policy(case: str, tmp_path: Path) -> None:
    edit, line = CASES[case]
    found = policy_changes(load_policy(SHIPPED), load_policy(changed(tmp_path, edit)))
    assert [change.text for change in found] == [line]


def test_changes_come_in_the_order_of_a_policy_file(tmp_path: Path) -> None:
    wanted = ["covered", "response", "rule removed", "guarantee", "step"]
    file = changed(tmp_path, *(CASES[case][0] for case in reversed(wanted)))
    found = policy_changes(load_policy(SHIPPED), load_policy(file))
    assert [change.text for change in found] == [CASES[case][1] for case in wanted]


def test_rules_in_another_order_are_a_change(tmp_path: Path) -> None:
    first, second = (line for line in TEXT.splitlines(keepends=True) if "name: outage" in line or "name: delay" in line)
    file = changed(tmp_path, (first, ""), (second, second + first))
    (change,) = policy_changes(load_policy(SHIPPED), load_policy(file))
    assert change.text == (
        "rules in the order outage, material-tier-1, material-other-tiers, delay, cosmetic"
        " → material-tier-1, material-other-tiers, delay, outage, cosmetic"
    )


def test_name_and_version_alone_are_no_difference(tmp_path: Path) -> None:
    file = changed(tmp_path, ('version: "1"', 'version: "2"'), ("policy: scalr", "policy: other"))
    assert policy_changes(load_policy(SHIPPED), load_policy(file)) == []


@pytest.mark.parametrize(
    ("micros", "text"),
    [
        (0, "none"),
        (2 * HOUR, "2 h"),
        (90 * MINUTE, "1 h 30 min"),
        (72 * HOUR, "72 h"),
        (60 * DAY, "60 days"),
        (SECOND // 2, "0.5 s"),
    ],
)
def test_durations_in_short(micros: int, text: str) -> None:
    assert span(micros) == text


def run(*words: object) -> Result:
    result: Result = CliRunner().invoke(app, ["policy", "diff", *map(str, words)])
    return result


def test_exit_codes_and_names(tmp_path: Path) -> None:
    same = run("scalr-emergency", SHIPPED)
    assert (same.exit_code, same.stdout) == (0, "scalr-emergency 1 → scalr-emergency 1\nno difference\n")
    file = changed(tmp_path, ("within: PT2H", "within: PT1H"), ('version: "1"', 'version: "2"'))
    differs = run("scalr-emergency@1", file)
    assert (differs.exit_code, differs.stdout) == (
        1,
        "scalr-emergency 1 → scalr-emergency 2\nP1 response 2 h → 1 h\n",
    )
    for wrong in ("nobody", "scalr-emergency@9", tmp_path / "absent.yaml"):
        assert run("scalr-emergency", wrong).exit_code == 2


def test_json(tmp_path: Path) -> None:
    told = json.loads(run(SHIPPED, changed(tmp_path, ("step: whole", "step: pro_rata")), "--json").stdout)
    assert told["changes"] == [
        {"term": "credit step", "old": "whole", "new": "pro_rata", "text": "credit step whole → pro_rata"}
    ]
    assert told["old"]["name"] == told["new"]["name"] == "scalr-emergency"
