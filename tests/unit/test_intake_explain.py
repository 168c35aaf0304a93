"""`sla intake test` explains a mapping entry by entry, tries folders, and compares two mappings."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from intake_samples import DATA, PROMETHEUS, ROOT
from typer.testing import CliRunner

from cli.main import app
from connect.intake.mapping.explanation import explain
from connect.intake.mapping.mapping_rule import Condition, MappingRule
from connect.intake.mapping.matching import attempts, first_match
from connect.intake.mapping.paths import parse_path
from connect.intake.mapping.rules import Source

EXAMPLE = ROOT / "examples" / "intake.yaml"
FEEDBACK = ROOT / "examples" / "intake" / "feedback.yaml"


def ran(*words: object) -> tuple[int, str]:
    done = CliRunner().invoke(app, ["intake", "test", *map(str, words)])
    return done.exit_code, done.output


def test_each_entry_says_what_it_gives_or_why_nothing() -> None:
    code, output = ran(DATA / "alertmanager-unmapped.json", "--mapping", EXAMPLE, "--explain")
    assert code == 1
    first, second = output.partition("why, alerts[0]:\n")[2].split("why, alerts[1]:\n")
    assert [line.strip() for line in first.splitlines()] == [
        "ignore[0]: does not match: labels.alertname is 'DiskFull', not infoinhibitor or watchdog",
        "ignore[1]: does not match: labels.severity is 'page', not info or none",
        "component, line 13: gives nothing: labels.service is 'printer', which line 13 of the mapping does not name",
        "component, line 15: does not apply: labels.job is absent",
        "impact, line 17: does not apply: labels.severity is 'page', not critical",
        "impact, line 18: gives nothing: labels.severity is 'page', which line 18 of the mapping does not name",
        "tier, line 21: gives nothing: labels.tier is absent",
        "tenants, line 23: gives nothing: labels.tenant is absent",
        "tenants, line 24: gives every tenant",
        "summary, line 26: gives 'DiskFull on printer'",
    ]
    assert "component, line 15: is not tried, because line 13 decides" in second
    assert "why" not in ran(DATA / "alertmanager-unmapped.json", "--mapping", EXAMPLE)[1]


def test_an_ignored_payload_and_a_person_are_explained() -> None:
    _, output = ran(DATA / "alertmanager-watchdog.json", "--mapping", EXAMPLE, "--explain")
    assert "ignore[0]: matches, so it is ignored and nothing else counts" in output
    _, output = ran(DATA / "pagerduty-acknowledged.json", "--mapping", FEEDBACK, "--explain")
    assert output.splitlines()[-1] == "  who, line 17: gives 'kim'"


def test_events_that_need_no_mapping_have_nothing_to_explain(tmp_path: Path) -> None:
    file = tmp_path / "event.json"
    file.write_text("{", encoding="utf-8")
    code, output = ran(file, "--mapping", EXAMPLE, "--explain", "--source", "services")
    assert (code, "why" in output) == (1, False)


def test_a_folder_is_tried_as_a_whole(tmp_path: Path) -> None:
    for name in ("jira-created", "jira-comment", "alertmanager-firing"):
        shutil.copy(DATA / f"{name}.json", tmp_path)
    (tmp_path / ".hidden").write_text("{", encoding="utf-8")
    code, output = ran(tmp_path, "--mapping", EXAMPLE)
    headings = [line for line in output.splitlines() if not line.startswith(" ")]
    assert (code, headings) == (0, ["alertmanager-firing.json:", "jira-comment.json:", "jira-created.json:"])
    shutil.copy(DATA / "alertmanager-unmapped.json", tmp_path)
    assert ran(tmp_path, "--mapping", EXAMPLE)[0] == 1
    (tmp_path / "other.json").write_text("{}", encoding="utf-8")
    code, output = ran(tmp_path, "--mapping", EXAMPLE)
    assert (code, "which source sends other.json?" in output) == (2, True)


def test_programs_get_one_object_for_each_request(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("alertmanager-firing", "alertmanager-unmapped", "alertmanager-watchdog"):
        shutil.copy(DATA / f"{name}.json", tmp_path)
    code, output = ran(tmp_path, "--mapping", EXAMPLE, "--json")
    firing, unmapped, watchdog = map(json.loads, output.splitlines())
    assert code == 1
    assert (firing["file"], firing["format"], firing["accepted"]) == ("alertmanager-firing.json", "alertmanager", True)
    assert {each["topic"] for each in firing["events"]} == {"incident-events"}
    assert firing["events"][0]["event"]["type"] == "incident.opened"
    assert (unmapped["accepted"], {each["code"] for each in unmapped["rejected"]}) == (False, {"invalid"})
    assert (watchdog["accepted"], watchdog["events"], len(watchdog["ignored"])) == (True, [], 1)
    (explained,) = map(
        json.loads, ran(tmp_path / f"{name}.json", "--mapping", EXAMPLE, "--json", "--explain")[1].splitlines()
    )
    assert "ignore[0]: matches" in " ".join(explained["why"])
    monkeypatch.setenv("SLA_INTAKE_MAX_BODY", "1024")
    large = tmp_path / "alertmanager-firing.json"
    (refused,) = map(json.loads, ran(large, "--mapping", EXAMPLE, "--json")[1].splitlines())
    assert (refused["accepted"], "413" in refused["refused"]) == (False, True)


def test_a_folder_without_files_is_no_input(tmp_path: Path) -> None:
    code, output = ran(tmp_path, "--mapping", EXAMPLE)
    assert (code, "has no file" in output) == (2, True)


def test_two_mappings_are_compared_over_recorded_requests(tmp_path: Path) -> None:
    requests = tmp_path / "requests"
    requests.mkdir()
    for name in ("alertmanager-firing", "alertmanager-unmapped", "jira-created"):
        shutil.copy(DATA / f"{name}.json", requests)
    old = EXAMPLE.read_text(encoding="utf-8")
    moved, changed = tmp_path / "moved.yaml", tmp_path / "changed.yaml"
    moved.write_text(f"# A comment moves every line.\n{old}", encoding="utf-8")
    assert ran(requests, "--mapping", moved, "--against", EXAMPLE) == (0, "0 of 3 requests differ\n")
    changed.write_text(old.replace("gateway: api, api: api", "gateway: ui, api: api"), encoding="utf-8")
    code, output = ran(requests, "--mapping", changed, "--against", EXAMPLE)
    assert code == 1
    assert "alertmanager-firing.json:\n- " in output
    assert "jira-created.json" not in output
    signs = [(line[0], json.loads(line[2:])["data"]["component"]) for line in output.splitlines() if "{" in line]
    assert set(signs) == {("-", "api"), ("+", "ui")}
    assert ran(requests, "--mapping", changed, "--against", EXAMPLE, "--explain")[0] == 2
    done = CliRunner().invoke(
        app, ["intake", "test", *map(str, (requests, "--mapping", changed, "--against", EXAMPLE, "--json"))]
    )
    sides = json.loads(done.stdout.splitlines()[0])
    assert [sides[side]["events"][0]["event"]["data"]["component"] for side in ("before", "after")] == ["api", "ui"]
    assert done.stderr.endswith("of 3 requests differ\n")


VALUES = st.sampled_from(["a", "b", "A", "*", "", None, 7, True, ["a", "b"], {"x": "a"}])
VIEWS = st.dictionaries(st.sampled_from(["x", "y"]), VALUES, max_size=2)
PATHS = st.sampled_from(["x", "y"]).map(parse_path)
CONDITIONS = st.builds(Condition, PATHS, st.frozensets(st.sampled_from(["a", "b", "*"]), min_size=1))
WHEN = st.lists(CONDITIONS, max_size=2).map(tuple)
TABLES = st.none() | st.dictionaries(st.sampled_from(["a", "b", "*"]), st.sampled_from(["api", "ui"]), min_size=1)
RULES = st.builds(MappingRule, st.integers(1, 9), WHEN, PATHS, TABLES) | st.builds(
    MappingRule, st.integers(1, 9), WHEN, value=st.just("api")
)


@given(st.lists(RULES, max_size=4), VIEWS, st.booleans())
def test_the_explanation_is_what_the_mapping_does(
    rules: list[MappingRule], view: dict[str, Any], all_known: bool
) -> None:
    tried = list(attempts(rules, view, all_known=all_known))
    values, reason = first_match(rules, view, all_known=all_known)
    given_by = [attempt for attempt in tried if attempt.values]
    assert [attempt.values for attempt in given_by] == ([values] if values else [])
    assert not given_by or given_by[0] is tried[-1]
    assert bool(values) != bool(reason)
    source = Source("s", "alertmanager", (), "/s", component=tuple(rules), tenants=tuple(rules))
    lines = list(explain(source, view))
    assert len(lines) == 2 * len(rules)
    assert all(line.isascii() for line in lines)


@pytest.mark.parametrize("view", [None, [], "x", {"labels": None}, {"labels": []}, {"labels": {"severity": {}}}])
def test_any_view_is_explained(view: object) -> None:
    assert list(explain(PROMETHEUS, view))
