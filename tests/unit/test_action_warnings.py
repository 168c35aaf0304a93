"""What is accepted and rarely meant is told: claims of wrong months, windows of wrong times, unknown names."""

from __future__ import annotations

from collections.abc import Collection
from pathlib import Path
from typing import Any

import pytest
from action_bench import ADMIN, BILL, KIM, Bench, MemoryPresent, MemoryPublisher, contract_log, state, terms
from policy_sample import SMALL, write

from cli.incidents.outcome_view import as_object, outcome_lines, warning_lines
from connect.actions.outcome import Accepted, NotReadYet, Outcome
from connect.actions.service import ActionService
from connect.actions.texts import WARNINGS, action_phrases, warning_text
from connect.contract_import.current_terms import ContractLog
from streams.errors import SlaError
from streams.i18n.catalogues import LANGUAGES
from streams.policy.load import load_policies
from streams.settings import Settings
from streams.sla.policy import Policies

WINDOW: dict[str, Any] = {
    "scope": "tenants",
    "tenant_ids": ["acme"],
    "components": ["api"],
    "start": "2026-06-11T01:00:00Z",
    "end": "2026-06-11T03:00:00Z",
}
#: From before now, for which it was announced in time, to after it.
BEGUN = {"start": "2026-06-10T11:00:00Z", "end": "2026-06-10T13:00:00Z"}
HEAD = "tenant_id,valid_from,plan,amount_minor,currency,emergency_member\n"


def codes(outcome: Outcome) -> list[str]:
    assert isinstance(outcome, Accepted), outcome
    return [each.code for each in outcome.warnings]


def scheduled(**changed: object) -> dict[str, Any]:
    data = {"maintenance_id": "move", **WINDOW, "announced_at": "2026-06-05T00:00:00Z", **changed}
    event = {"specversion": "1.0", "id": "w-1", "type": "maintenance.scheduled", "source": "/desk"}
    return {**event, "subject": "move", "time": "2026-06-05T00:00:00Z", "data": data}


@pytest.fixture
def bench() -> Bench:
    return Bench()


@pytest.mark.parametrize(
    ("month", "expected"),
    [
        ("2026-05", []),  # over, its statement comes
        ("2026-06", []),
        ("2026-07", ["claim_ahead"]),
        ("9999-12", ["claim_ahead"]),
        ("2026-03", ["claim_before"]),  # the contract became known on 2026-06-01, more than 35 days later
        ("2025-12", ["claim_no_contract"]),
        ("1970-01", ["claim_no_contract"]),
    ],
)
def test_a_claim_of_a_month_without_a_credit_is_told(bench: Bench, month: str, expected: list[str]) -> None:
    assert codes(bench.perform(BILL, "claim-credit", "acme", {"month": month})) == expected


def test_a_claim_after_its_window_is_told_without_a_statement_too(bench: Bench) -> None:
    bench.present.log = contract_log({**terms(), "time": "2026-01-01T00:00:00Z"})
    told = bench.perform(BILL, "claim-credit", "acme", {"month": "2026-01"})
    assert codes(told) == ["claim_over"]  # 72 h and 60 days after January
    assert "until 2026-04-05T00:00:00Z" in warning_text(told.warnings[0])
    assert codes(bench.perform(BILL, "claim-credit", "acme", {"month": "2026-04"})) == []
    money = {"amount_minor": 5, "currency": "USD"}
    until = {"status": "final", "revision": 1, "credit": money, "claimable_until": "2026-07-01T00:00:00Z"}
    bench.present.statements["acme", "2026-01"] = until
    assert codes(bench.perform(BILL, "claim-credit", "acme", {"month": "2026-01"})) == []


@pytest.mark.parametrize(
    ("form", "expected"),
    [
        ({}, []),
        (BEGUN, ["window_late"]),
        ({"start": "2025-06-11T01:00:00Z", "end": "2025-06-11T03:00:00Z"}, ["window_late"]),
        (BEGUN | {"announced_at": "2026-06-05T00:00:00Z"}, []),
        (BEGUN | {"end": "2026-06-10T12:00:00Z", "announced_at": "2026-06-05T00:00:00Z"}, ["window_over"]),
        ({"announced_at": "2026-06-12T00:00:00Z"}, ["window_late"]),
        ({"end": "2027-06-11T03:00:00Z"}, ["window_long"]),
        ({"tenant_ids": ["acme", "acne", "globex"]}, ["tenant_unknown", "tenant_unknown"]),
        ({"scope": "platform", "tenant_ids": []}, []),
    ],
)
def test_a_window_that_is_rarely_meant_is_told(bench: Bench, form: dict[str, Any], expected: list[str]) -> None:
    assert codes(bench.perform(KIM, "schedule-maintenance", "move", WINDOW | form)) == expected


def test_a_change_after_the_start_is_told_with_what_stays(bench: Bench) -> None:
    bench.present.log = contract_log(terms(), scheduled(**BEGUN))
    outcome = bench.perform(KIM, "edit-maintenance", "move", WINDOW | BEGUN | {"components": ["api", "ui"]})
    assert codes(outcome) == ["window_change_late"]


def test_the_notice_that_a_policy_wants_is_compared(tmp_path: Path) -> None:
    text = SMALL + "maintenance: {notice: P2D}\n"
    present, publisher = MemoryPresent(), MemoryPublisher()
    write(tmp_path, text, "small/1.yaml")
    policies = Policies.of(load_policies(tmp_path), "small")
    service = ActionService(Settings(), present, policies=policies, publisher=publisher)

    def warned(**changed: object) -> list[tuple[str, dict[str, str]]]:
        now = 1_781_092_800_000_000  # 2026-06-10T12:00:00Z
        name = f"w-{len(publisher.events)}"
        form = WINDOW | changed
        outcome = service.perform(KIM, "schedule-maintenance", name, form, action_id=name, now=now)
        assert isinstance(outcome, Accepted)
        return [(each.code, dict(each.values)) for each in outcome.warnings]

    short = [("window_short", {"policy": "small", "by": "2026-06-09T01:00:00Z"})]
    assert warned() == short  # its plan is unknown here: the default rules
    assert warned(scope="platform", tenant_ids=[]) == short
    assert warned(announced_at="2026-06-09T01:00:00Z") == []
    present.log = contract_log()
    assert [code for code, _ in warned()] == ["tenant_unknown"]


def test_unknown_tenants_of_an_incident_are_told(bench: Bench) -> None:
    form = {"scope": "tenants", "tenant_ids": ["acme", "acne"]}
    outcome = bench.perform(KIM, "reclassify", form=form)
    assert codes(outcome) == ["tenant_unknown"]
    assert outcome.warnings[0].values == {"name": "acne"}
    assert codes(bench.perform(KIM, "reclassify", form={"impact": "cosmetic"})) == []


def test_contracts_that_cannot_be_read_keep_nobody_from_an_incident(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(_: Collection[str]) -> ContractLog:
        raise SlaError("the board is behind")

    monkeypatch.setattr(bench.present, "contracts", fail)
    outcome = bench.perform(KIM, "reclassify", form={"scope": "tenants", "tenant_ids": ["acme"]})
    assert codes(outcome) == ["tenants_unchecked"]
    assert "the board is behind" in warning_text(outcome.warnings[0])


def test_unknown_plans_and_currencies_are_told_once_each(bench: Bench) -> None:
    rows = "".join(f"t-{number},2026-01-01T00:00:00Z,goldem,7,DEM,yes\n" for number in range(3))
    outcome = bench.perform(BILL, "import-contracts", "", {"terms": HEAD + rows})
    assert codes(outcome) == ["plan_unknown", "currency_unknown"]
    near = HEAD + "t-9,2026-01-01T00:00:00Z,scalr-emergencv,7,USD,yes\n"
    outcome = bench.perform(BILL, "import-contracts", "", {"terms": near})
    assert [warning_text(each) for each in outcome.warnings] == [
        "plan scalr-emergencv is no policy here; did you mean scalr-emergency?"
    ]


def test_an_erasure_of_an_unknown_tenant_is_told(bench: Bench) -> None:
    for tenant, expected in (("acme", []), ("acne", ["tenant_unknown"])):
        form = {"reason": "asked", "confirm_tenant": tenant}
        assert codes(bench.perform(ADMIN, "erase-tenant", tenant, form)) == expected


def test_many_names_are_counted_and_long_ones_cut(bench: Bench) -> None:
    names = [f"{'x' * 100}{number}" for number in range(40)]
    outcome = bench.perform(KIM, "schedule-maintenance", "move", WINDOW | {"tenant_ids": names})
    assert codes(outcome) == ["tenant_unknown"] * 20 + ["more_tenants"]
    assert all(len(warning_text(each)) < 120 for each in outcome.warnings)


def test_what_is_not_read_yet_and_a_repeated_attempt_have_the_warnings_too(bench: Bench) -> None:
    bench.publisher.unread = True
    asked = WINDOW | BEGUN
    unread = bench.perform(KIM, "schedule-maintenance", "move", asked, action_id="one")
    assert isinstance(unread, NotReadYet)
    bench.publisher.unread = False
    done = bench.perform(KIM, "schedule-maintenance", "move", asked, action_id="one")
    assert isinstance(done, Accepted)
    assert unread.warnings == done.warnings != ()
    sent = bench.perform(KIM, "schedule-maintenance", "next", asked, read_back=False)
    assert isinstance(sent, NotReadYet)
    assert sent.warnings == done.warnings


def test_the_command_line_prints_them_beside_the_outcome(bench: Bench) -> None:
    bench.present.states["inc-1"] = state()
    outcome = bench.perform(KIM, "reclassify", form={"scope": "tenants", "tenant_ids": ["acne"]})
    assert list(outcome_lines(outcome, "done", "inc-1", "sla", None)) == ["done: accepted"]
    assert list(warning_lines(outcome)) == ["warning: tenant acne is without a contract"]
    assert as_object(outcome)["warnings"] == [
        {"code": "tenant_unknown", "message": "tenant acne is without a contract"}
    ]


def test_every_warning_has_a_text_in_each_language() -> None:
    for language in LANGUAGES:
        assert set(action_phrases(language).warning) == set(WARNINGS)
