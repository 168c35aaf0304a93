"""Each mistake in a policy file is named with its line, its key and what is allowed instead; all at once."""

from __future__ import annotations

from pathlib import Path

import pytest
from policy_sample import SMALL, write

from streams.config_files.problems import PolicyError
from streams.policy.load import load_policy


def problems_of(tmp_path: Path, text: str) -> list[tuple[int, str, str]]:
    with pytest.raises(PolicyError) as caught:
        load_policy(write(tmp_path, text))
    return [(problem.place.line, problem.key, problem.what) for problem in caught.value.problems]


#: What is replaced in SMALL, by what; then the line, the key and two pieces of the message.
MISTAKES = [
    (
        "policy: small",
        "policy: Small!",
        1,
        "policy",
        "'Small!' has an invalid format",
        "lower-case letters, digits and `-`",
    ),
    ('version: "1"', "version: 1", 2, "version", "1 is not a text", 'quotes, "1"'),
    ("title: {en: Small, ja: 小}", "title: {en: Small}", 3, "title.ja", "missing", "the text in Japanese"),
    ("title: {en: Small", 'title: {en: ""', 3, "title.en", "empty", "at least one character"),
    ("covered: true", "covered: yes", 5, "components.api.covered", "take yes for true", 'allowed: true, or "yes"'),
    ("covered: true", "covered: 1", 5, "components.api.covered", "1 has the wrong type", "true or false"),
    ("covered: true, ", "", 5, "components.api.covered", "missing", "response and update targets"),
    ("  api:", "  A P I:", 5, "components.A P I", "invalid format", "lower-case letters"),
    ("severities:", "severitys:", 6, "severitys", "did you mean severities?", "policy, version, effective_from"),
    ("  P3: {response: null}\n", "", 6, "severities.P3", "missing", "noticeable"),
    ("  P3: {", "  P5: {response: null}\n  P3: {", 11, "severities.P5", "unknown key", "P1, P2, P3, P4"),
    ("  P3: {response", "  P2: {response", 11, "severities.P2", "twice, first in line 10", "allowed: once"),
    ("{within: PT2H}", "{within: P1M}", 8, "severities.P1.response.within", "months", "PT30M, PT2H or P60D"),
    ("{within: PT2H}", "{within: 2h}", 8, "severities.P1.response.within", "'2h' is not a duration", "PT2H"),
    ("{within: PT2H}", "{within: 7200}", 8, "severities.P1.response.within", "7200 is not a duration", "PT2H"),
    ("{within: PT2H}", "{within: PT0S}", 8, "severities.P1.response.within", "longer than zero", "above PT0S"),
    ("{within: PT2H}", "{within: P9999D}", 8, "severities.P1.response.within", "longer than ten years", "P3660D"),
    ("{within: PT2H}", "{}", 8, "severities.P1.response", "exactly one measure", "either within"),
    ("{within: PT2H}", "{within: PT2H, business_days: 1}", 8, "severities.P1.response", "exactly one", "business_days"),
    (
        "{within: PT2H}",
        "{within: PT2H, clock: office}",
        8,
        "severities.P1.response.clock",
        "office",
        "always, business",
    ),
    ("business_days: 1", "business_days: 0", 12, "severities.P4.response.business_days", "bounds", "at least 1"),
    ("business_days: 1", "business_days: 1, clock: always", 12, "severities.P4.response", "clock means", "within"),
    ("{every: PT1H}", "{every: PT1H, remind_before: PT1H}", 9, "severities.P1.updates", "shorter than every", "PT1H"),
    ("{every: PT1H}", "{on_request: {within: PT1H}, clock: always}", 9, "severities.P1.updates", "belong to every", ""),
    ("{every: PT1H}", "{every: PT1H, on_request: {within: PT1H}}", 9, "severities.P1.updates", "one rhythm", ""),
    ("{every: PT1H}", "{evry: PT1H}", 9, "severities.P1.updates.evry", "did you mean every?", "remind_before"),
    (
        "P3: {response: null",
        "P3: {response: null, warn_at: [0.5, 1.0]",
        11,
        "severities.P3.warn_at",
        "(0, 1)",
        "between",
    ),
    (
        "P3: {response: null",
        "P3: {response: null, warn_at: [0.9, 0.9]",
        11,
        "severities.P3.warn_at",
        "increase",
        "above",
    ),
    (
        "P3: {response: null",
        "P3: {response: null, pause_on: [me]",
        11,
        "severities.P3.pause_on[0]",
        "me",
        "third_party",
    ),
    ("null}", "null, channels: [fax]}", 11, "severities.P3.channels[0]", "fax", "ticket"),
    ("severity: P1}", "severity: P0}", 14, "rules[0].severity", "'P0' is unknown", "P1, P2, P3, P4"),
    (
        "[complete_outage]",
        "[complete_outtage]",
        14,
        "rules[0].when.impact[0]",
        "did you mean complete_outage?",
        "cosmetic",
    ),
    ("[complete_outage]", "[]", 14, "rules[0].when.impact", "empty", "at least one entry"),
    ("[complete_outage]", "[cosmetic, cosmetic]", 14, "rules[0].when.impact", "listed twice", "each once"),
    ("{impact: [complete_outage]}", "{impact: }", 14, "rules[0].when", "impact is empty", "leave the key out"),
    ("{impact: [complete_outage]}", "{tier: [4]}", 14, "rules[0].when.tier[0]", "4 is unknown", "1, 2, 3, unknown"),
    ("{impact: [complete_outage]}", "{component: [app]}", 14, "rules[0].when.component[0]", "not declared", "api"),
    ("name: rest", "name: outage", 15, "rules[1].name", "rule 1 is called 'outage' too", "a name of its own"),
    ("name: rest", "name: default", 15, "rules[1].name", "default_severity", "any other name"),
    ("calendar: {", "calendar: {zone: Asia/Tokio, ", 16, "calendar.zone", "did you mean Asia/Tokyo?", "IANA"),
    ("calendar: {", "calendar: {holidays: NO, ", 16, "calendar.holidays", "take NO for false", '"NO" in quotes'),
    ("calendar: {", "calendar: {holidays: XQ, ", 16, "calendar.holidays", "no holidays are known", "ISO 3166"),
    ("calendar: {", "calendar: {holidays: US-XX, ", 16, "calendar.holidays", "no subdivision 'XX'", "CA"),
    ("mon-fri:", "mon-fry:", 16, "calendar.hours.mon-fry", "is not a weekday", "such as mon-fri"),
    ("mon-fri:", "fri-mon:", 16, "calendar.hours.fri-mon", "backwards", "Monday to Sunday"),
    ("mon-fri:", 'wed: "08:00-09:00", mon-fri:', 16, "calendar.hours", "mon-fri and wed both set wed", "each day once"),
    ('"09:00-17:00"', "17:00", 16, "calendar.hours.mon-fri", "take 17:00 for a number", '"17:00" in quotes'),
    ('"09:00-17:00"', '"9-17"', 16, "calendar.hours.mon-fri", "not a span of hours", '"09:00-17:00"'),
    ('"09:00-17:00"', '"17:00-09:00"', 16, "calendar.hours.mon-fri", "ends before", "at most 24:00"),
    ('"09:00-17:00"', '"09:00-24:01"', 16, "calendar.hours.mon-fri", "not a span of hours", "at most 24:00"),
    ("calendar:", "on: 1\ncalendar:", 16, "on", "take this key for true or false", '"on" in quotes'),
    ("calendar:", "<<: {a: 1}\ncalendar:", 16, "<<", "merge keys are refused", "written out"),
    ("calendar:", "guarantee: {percent: 99.9}\ncalendar:", 16, "guarantee.percent", "lose digits", '"99.9"'),
    ("calendar:", 'guarantee: {percent: "100.1"}\ncalendar:', 16, "guarantee.percent", "not a percentage", "0 to 100"),
    ("calendar:", 'credit: {cap_percent: "-1"}\ncalendar:', 16, "credit.cap_percent", "not a percentage", "0 to 100"),
    (
        "calendar:",
        "credit: {step: full}\ncalendar:",
        16,
        "credit.step",
        "'full' is unknown",
        "whole, started, pro_rata",
    ),
    ("calendar:", "credit: {claim: no}\ncalendar:", 16, "credit.claim", "take no for false", '"no" in quotes'),
    ("calendar:", "downtime: {impacts: [bad]}\ncalendar:", 16, "downtime.impacts[0]", "'bad'", "complete_outage"),
    ("calendar:", "default_severity: P9\ncalendar:", 16, "default_severity", "'P9'", "P1, P2, P3, P4"),
    ("calendar:", "effective_from: 2026-01-01\ncalendar:", 16, "effective_from", "RFC 3339", "offset"),
    ("calendar:", "statements: {provisional_every: PT0S}\ncalendar:", 16, "statements.provisional_every", "longer", ""),
    (
        "calendar:",
        "statements: {provisional_every: PT0.999999S}\ncalendar:",
        16,
        "statements.provisional_every",
        "shorter than a second",
        "PT1S",
    ),
    ("calendar:", "responds: []\ncalendar:", 16, "responds", "empty", "at least one entry"),
    (
        "calendar:",
        "responds: [{event: incident.responded, who: [support], visibility: [public]}]\ncalendar:",
        16,
        "responds[0]",
        "incident.responded has no visibility",
        "only with incident.updated",
    ),
]


@pytest.mark.parametrize(("old", "new", "line", "key", "what", "allowed"), MISTAKES, ids=lambda value: str(value)[:30])
def test_a_mistake_is_named_with_its_line_key_and_remedy(
    tmp_path: Path, old: str, new: str, line: int, key: str, what: str, allowed: str
) -> None:
    assert old in SMALL
    found = problems_of(tmp_path, SMALL.replace(old, new, 1))
    mine = [problem for problem in found if problem[:2] == (line, key)]
    assert mine, found
    assert what in mine[0][2]
    assert "; allowed: " in mine[0][2]
    assert allowed in mine[0][2]


def test_all_mistakes_are_told_at_once_in_the_order_of_the_file(tmp_path: Path) -> None:
    text = SMALL.replace('version: "1"', "version: 1").replace("PT4H", "4h").replace("name: rest", "name: outage")
    path = write(tmp_path, text + "extra: 1\n")
    with pytest.raises(PolicyError) as caught:
        load_policy(path)
    lines = str(caught.value).splitlines()
    assert [line.split(": ")[:2] for line in lines] == [
        [f"{path}:2", "version"],
        [f"{path}:10", "severities.P2.response.within"],
        [f"{path}:15", "rules[1].name"],
        [f"{path}:17", "extra"],
    ]


@pytest.mark.parametrize(
    ("text", "line", "what"),
    [
        ("", 1, "empty"),
        ("# nothing\n", 1, "empty"),
        ("[a]", 1, "a list has the wrong type"),
        ("a: [1\nb: 2", 2, "not YAML"),
        ("a: 1\nb: &x 1\nc: *x", 2, "anchors are refused"),
        ("a: 1\n---\nb: 2", 2, "another document"),
        ("a: 1\nb: \x01", 2, "control character"),
        ("[" * 2000 + "]" * 2000, 1, "nested too deeply"),
    ],
)
def test_what_is_no_policy_at_all_is_one_problem(tmp_path: Path, text: str, line: int, what: str) -> None:
    found = problems_of(tmp_path, text)
    assert [problem[0] for problem in found] == [line]
    assert what in found[0][2]


def test_bytes_that_are_not_utf8_and_files_too_large_are_told(tmp_path: Path) -> None:
    path = tmp_path / "latin.yaml"
    path.write_bytes("policy: a\ntitle: é\n".encode("latin-1"))
    with pytest.raises(PolicyError, match=r"latin\.yaml:2: this is not UTF-8"):
        load_policy(path)
    path.write_bytes(b"#" * 2_000_000)
    with pytest.raises(PolicyError, match="2000000 bytes"):
        load_policy(path)


def test_python_tags_are_refused_and_run_nothing(tmp_path: Path) -> None:
    found = problems_of(tmp_path, SMALL.replace("policy: small", 'policy: !!python/object/apply:os.system ["true"]'))
    assert any(key == "policy" for _, key, _ in found)
