"""Forms of actions: every action with valid values, and every field with each kind of wrong value."""

from __future__ import annotations

from typing import Any

import pytest
from action_bench import NOW

from connect.actions.build import build, event_id, event_problem
from connect.actions.catalogue import ACTIONS, LISTS, Action, ActionField
from connect.actions.form import Choices, ReadForm, describe, read_form
from connect.actions.texts import FIELD_NAMES, PROBLEMS, action_phrases, labels_of, problem_text
from streams.i18n.catalogues import LANGUAGES
from streams.settings import Settings
from streams.sla.arrival import TimeLimits
from streams.sla.events import Who

CHOICES = Choices.of(Settings().load_policies())
WINDOW = {"start": "2026-06-20T01:00:00Z", "end": "2026-06-20T03:00:00Z", "components": ["api", "ui"]}
TERMS = "tenant_id,valid_from,plan,amount_minor,currency,emergency_member\nacme,2026-01-01T00:00:00Z,p,100,USD,yes\n"
#: Valid forms by action, and the data that each gives besides `who`.
VALID: list[tuple[str, dict[str, Any], dict[str, Any]]] = [
    ("respond", {}, {}),
    ("update", {"visibility": "public", "text": " a\r\nb "}, {"visibility": "public", "text": "a\nb"}),
    ("update", {"visibility": "internal", "text": "メモ"}, {"visibility": "internal", "text": "メモ"}),
    ("wait", {"on": "customer"}, {"on": "customer"}),
    ("end-wait", {"on": "third_party"}, {"on": "third_party"}),
    ("request-update", {}, {}),
    ("resolve", {"restored_at": ""}, {}),
    ("resolve", {"restored_at": "2026-06-10T20:30:00+09:00"}, {"restored_at": "2026-06-10T11:30:00Z"}),
    (
        "reopen",
        {"reason": "it is back", "started_at": "2026-06-10T11:30:00Z"},
        {"reason": "it is back", "started_at": "2026-06-10T11:30:00Z"},
    ),
    ("reclassify", {"impact": "cosmetic", "tier": "2"}, {"impact": "cosmetic", "tier": 2}),
    ("reclassify", {"tier": 3}, {"tier": 3}),
    (
        "reclassify",
        {"component": "ui", "scope": "tenants", "tenant_ids": ["acme", "globex", "acme"]},
        {"component": "ui", "scope": "tenants", "tenant_ids": ["acme", "globex"]},
    ),
    (
        "reclassify",
        {"scope": "tenants", "tenant_ids": "acme, globex\r\n"},
        {"scope": "tenants", "tenant_ids": ["acme", "globex"]},
    ),
    ("reclassify", {"scope": "platform"}, {"scope": "platform"}),
    ("set-severity", {"severity": "P2", "reason": "few users"}, {"severity": "P2", "reason": "few users"}),
    ("set-severity", {"severity": "rules", "reason": "over"}, {"severity": None, "reason": "over"}),
    ("merge", {"into": "inc-2"}, {"into": "inc-2"}),
    ("link", {"ticket_id": "SUP-1"}, {"ticket_id": "SUP-1"}),
    (
        "schedule-maintenance",
        {**WINDOW, "scope": "platform"},
        {**WINDOW, "scope": "platform", "maintenance_id": "s-1", "announced_at": "2026-06-10T12:00:00Z"},
    ),
    (
        "edit-maintenance",
        {**WINDOW, "scope": "tenants", "tenant_ids": ["acme"], "announced_at": "2026-06-01T00:00:00Z"},
        {
            **WINDOW,
            "scope": "tenants",
            "tenant_ids": ["acme"],
            "maintenance_id": "s-1",
            "announced_at": "2026-06-01T00:00:00Z",
        },
    ),
    ("cancel-maintenance", {}, {"maintenance_id": "s-1"}),
    ("claim-credit", {"month": "2026-05", "although_zero": "on"}, {"month": "2026-05", "tenant_id": "s-1"}),
    ("erase-tenant", {"reason": "asked", "confirm_tenant": "s-1"}, {"reason": "asked", "tenant_id": "s-1"}),
    ("annul", {"reason": "a drill"}, {"reason": "a drill"}),
    (
        "amend",
        {"restored_at": "2026-06-10T11:30:00Z", "counts_as_downtime": "no", "reason": "late report"},
        {"restored_at": "2026-06-10T11:30:00Z", "counts_as_downtime": False, "reason": "late report"},
    ),
    ("amend", {"counts_as_downtime": True, "reason": "r"}, {"counts_as_downtime": True, "reason": "r"}),
    (
        "apply-policy",
        {"policy": "scalr-emergency", "version": "1", "reason": "agreed"},
        {"policy": "scalr-emergency", "version": "1", "reason": "agreed"},
    ),
]
OTHER = [
    ("import-contracts", {"terms": TERMS}),
    ("retry-rejected", {}),
    ("retry-rejected", {"corrected": "{}", "backfill": True}),
]
#: A value that no field of a kind allows, and the code of the problem.
WRONG: dict[str, list[tuple[Any, str]]] = {
    "text": [("x" * 5120, "text_long"), ("\ud800", "not_unicode"), (["a"], "single")],
    "document": [("x" * (1024 * 1024 + 1), "text_long"), ("\ud800", "not_unicode"), (["a"], "single")],
    "id": [("x" * 129, "id_long"), ("a\x07b", "control_character"), ("a\x9bb", "control_character"), (["a"], "single")],
    "tenant_id": [("x" * 129, "id_long"), ("a\nb", "control_character"), ("\ud800", "not_unicode")],
    "incident_id": [("x" * 129, "id_long"), ("a\x00b", "control_character")],
    "choice": [("<script>", "choice"), ("Public", "choice"), (["public"], "single")],
    "component": [("apj", "choice"), ("x" * 129, "choice"), (["api"], "single")],
    "policy": [("../other", "choice")],
    "instant": [
        ("soon", "instant"),
        ("2026-06-10T11:30", "instant"),
        ("2026-06-10T11:30:00", "instant"),
        ("0001-01-01T00:00:00Z", "instant_range"),
    ],
    "month": [("2026-13", "month"), ("May", "month"), ("\uff12026-05", "month")],
    "tenants": [
        (["x" * 129], "id_long"),
        (["a\x07"], "control_character"),
        (["*"], "wildcard"),
        ([1], "list"),
        (5, "list"),
        ([f"t-{n}" for n in range(1001)], "too_many"),
    ],
    "components": [(["api", "apj"], "choice"), ({"api": 1}, "list")],
    "flag": [(["yes"], "single")],
}
ROWS = [
    pytest.param(action, field, value, code, id=f"{action.name}-{field.name}-{code}")
    for action in ACTIONS.values()
    for field in action.fields
    for value, code in WRONG[field.kind]
]


def form_of(action: str) -> dict[str, Any]:
    return next(dict(form) for name, form, *_ in [*reversed(VALID), *OTHER] if name == action)


def event_of(name: str, form: ReadForm) -> dict[str, Any]:
    action = ACTIONS[name]
    approver = Who("support", "lee") if action.two_persons else None
    who = Who("support", "kim")
    return build(action, "s-1", form, who, source="/sla/board", identity="e-1", now=NOW, approver=approver)


@pytest.mark.parametrize(("name", "form", "data"), VALID)
def test_a_valid_form_gives_an_event_that_the_product_accepts(
    name: str, form: dict[str, Any], data: dict[str, Any]
) -> None:
    read = read_form(ACTIONS[name], form, CHOICES)
    assert read.problems == ()
    event = event_of(name, read)
    people = {"who": {"kind": "support", "id": "kim"}}
    if ACTIONS[name].two_persons:
        people["approver"] = {"kind": "support", "id": "lee"}
    assert event["data"] == data | people
    assert (event["type"], event["source"], event["subject"]) == (ACTIONS[name].event_type, "/sla/board", "s-1")
    assert event_problem(event, NOW, TimeLimits()) is None


def test_every_action_is_in_the_table() -> None:
    assert {name for name, *_ in VALID} | {name for name, _ in OTHER} == ACTIONS.keys()
    for name, form in OTHER:
        assert read_form(ACTIONS[name], form, CHOICES).problems == ()


@pytest.mark.parametrize(("action", "field", "value", "code"), ROWS)
def test_each_wrong_field_is_named(action: Action, field: ActionField, value: Any, code: str) -> None:
    read = read_form(action, form_of(action.name) | {field.name: value}, CHOICES)
    assert [(problem.field, problem.code) for problem in read.problems] == [(field.name, code)]
    for language in LANGUAGES:
        text = problem_text(read.problems[0], language)
        assert text.isprintable()
        assert len(text) < 400


@pytest.mark.parametrize("action", ACTIONS.values(), ids=ACTIONS)
def test_each_missing_field_is_named(action: Action) -> None:
    read = read_form(action, {field.name: "  " for field in action.fields if field.kind not in LISTS}, CHOICES)
    missing = {problem.field for problem in read.problems}
    assert {field.name for field in action.fields if field.required} <= missing
    if action.one_of:
        assert ("one_of", action.one_of[0]) in {(problem.code, problem.field) for problem in read.problems}
    assert read.values == {}


def test_unknown_components_are_answered_with_those_of_the_policies() -> None:
    (problem,) = read_form(ACTIONS["reclassify"], {"component": "apj"}, CHOICES).problems
    allowed = "ui, api, auto_scaling, backups, auto_healing, guest_agent"
    assert set(allowed.split(", ")) <= set(CHOICES.components)
    assert problem_text(problem) == f"apj is not allowed; allowed: {', '.join(CHOICES.components)}"


def test_fields_that_an_action_does_not_have_are_named() -> None:
    (problem,) = read_form(ACTIONS["wait"], {"on": "customer", "who": "ceo"}, CHOICES).problems
    assert (problem.field, problem_text(problem)) == ("who", "wait has no such field; allowed: on")
    (problem,) = read_form(ACTIONS["respond"], {"\x1b[31m": "x"}, CHOICES).problems
    assert problem.field == "\N{REPLACEMENT CHARACTER}[31m"


@pytest.mark.parametrize(
    ("form", "code"),
    [
        ({"scope": "tenants"}, "tenants_missing"),
        ({"scope": "platform", "tenant_ids": ["acme"]}, "platform_tenants"),
        ({"tenant_ids": ["acme"]}, "scope_missing"),
    ],
)
def test_scope_and_tenants_belong_together(form: dict[str, Any], code: str) -> None:
    assert [each.code for each in read_form(ACTIONS["reclassify"], form, CHOICES).problems] == [code]


def test_a_version_belongs_to_its_policy() -> None:
    form = {"policy": "scalr-emergency", "version": "99", "reason": "r"}
    (problem,) = read_form(ACTIONS["apply-policy"], form, CHOICES).problems
    assert (problem.field, problem.values["allowed"]) == ("version", ", ".join(CHOICES.policies["scalr-emergency"]))


@pytest.mark.parametrize(
    ("name", "form", "field"),
    [
        ("resolve", {"restored_at": "2026-06-10T12:06:00Z"}, "restored_at"),
        ("resolve", {"restored_at": "2026-01-01T00:00:00Z"}, "restored_at"),
        ("reopen", {"started_at": "2026-06-11T00:00:00Z"}, "started_at"),
        ("amend", {"started_at": "2026-06-11T00:00:00Z", "reason": "r"}, "started_at"),
        ("schedule-maintenance", {**WINDOW, "scope": "platform", "end": "2026-06-20T01:00:00Z"}, "end"),
        ("erase-tenant", {"reason": "r", "confirm_tenant": "s-1"}, ""),
    ],
)
def test_what_the_product_would_reject_is_found_before(name: str, form: dict[str, Any], field: str) -> None:
    event = event_of(name, read_form(ACTIONS[name], form, CHOICES))
    if not field:
        event["data"]["reason"] = "\x00"  # printable() would replace it, so the event stays good
        assert event_problem(event, NOW, TimeLimits()) is None
        return
    problem = event_problem(event, NOW, TimeLimits())
    assert problem is not None
    assert (problem.field, problem.code) == (field, "check")
    assert not problem.values["message"].startswith(field)


def test_two_different_people_are_needed() -> None:
    action = ACTIONS["annul"]
    read, kim = read_form(action, {"reason": "r"}, CHOICES), Who("support", "kim")
    event = build(action, "s-1", read, kim, source="/sla/board", identity="e", now=NOW, approver=kim)
    problem = event_problem(event, NOW, TimeLimits())
    assert problem is not None
    assert problem.field == "approver.id"


def test_the_id_of_an_event_follows_from_the_attempt() -> None:
    ids = {
        event_id(*parts)
        for parts in (
            ("kim", "respond", "inc-1", "1"),
            ("lee", "respond", "inc-1", "1"),
            ("kim", "respond", "inc-1", "2"),
            ("kim", "respond", "inc-2", "1"),
        )
    }
    assert len(ids) == 4
    assert event_id("kim", "respond", "inc-1", "1") in ids


def test_forms_describe_themselves() -> None:
    fields = {field.name: field for field in describe(ACTIONS["reclassify"], CHOICES)}
    assert fields["component"].choices == CHOICES.components
    assert fields["tenant_ids"].several
    assert fields["impact"].choices[0] == "complete_outage"
    text = describe(ACTIONS["update"], CHOICES)[1]
    assert (text.kind, text.required, text.most, text.label) == ("text", True, 4096, "field.text")
    assert describe(ACTIONS["apply-policy"], CHOICES)[0].choices == tuple(CHOICES.policies)


def test_texts_are_complete_in_both_languages() -> None:
    for language in LANGUAGES:
        texts = action_phrases(language)
        assert texts.action.keys() == ACTIONS.keys()
        assert set(FIELD_NAMES) == texts.field.keys()
        assert set(PROBLEMS) == texts.problem.keys()


def test_forms_have_words_in_both_languages() -> None:
    labels = labels_of("wait", "ja")
    assert (labels.title, labels.fields, labels.choices["customer"]) == ("待機", {"on": "待機の相手"}, "顧客")
    for language in LANGUAGES:
        for action in ACTIONS.values():
            found = labels_of(action.name, language)
            assert found.fields.keys() == {field.name for field in action.fields}
            assert found.does.endswith(("。", "."))
