"""What a mapping decides, and what senders' facts lead to (R7, R8)."""

from __future__ import annotations

import json

import pytest
from intake_samples import (
    BILLING,
    JIRA,
    OPENED,
    PROMETHEUS,
    SOURCES,
    decided,
    plain,
    published,
    recorded,
    simulated,
)

from connect.intake.mapping.classification import Classified, Unmapped, classify
from connect.intake.mapping.rules import States
from connect.intake.mapping_file import MappingError, mapping_in
from connect.intake.web.openapi_examples import EXAMPLES


def test_a_mapping_decides_by_its_first_entry_that_has_a_value() -> None:
    found = classify(
        PROMETHEUS, {"labels": {"job": "Blackbox", "severity": "CRITICAL", "tier": "2"}, "annotations": {}}
    )
    assert isinstance(found, Classified)
    assert (found.component, found.impact, found.tier, found.scope) == ("api", "material_aspect", 2, "platform")
    lost = classify(PROMETHEUS, {"labels": {"severity": "x" * 500}})
    assert isinstance(lost, Unmapped)
    assert len(lost.reason) < 400


def test_a_tenant_that_the_table_lacks_is_neither_left_out_nor_everyone() -> None:
    payload = recorded("jira-created")
    fields = payload["issue"]["fields"]
    fields["labels"] = ["platform-wide"]
    fields["customfield_10002"].append({"name": "Tokyo Trading"})
    assert published(decided(JIRA, payload))[0]["data"]["tenant_ids"] == ["acme", "tokyo-trading"]
    fields["customfield_10002"].append({"name": "Acme Limited"})
    (refused,) = decided(JIRA, payload).rejected
    assert "tenants: issue.fields.customfield_10002.name is 'Acme Limited', which line" in refused.reason
    fields["customfield_10002"] = []
    assert published(decided(JIRA, payload))[0]["data"]["scope"] == "platform"
    fields["labels"] = []
    assert "tenants: issue.fields.customfield_10002.name is absent" in decided(JIRA, payload).rejected[0].reason


def test_from_an_alert_to_a_breach_and_from_a_word_of_staff_to_met() -> None:
    """R7, R8: what the senders said makes the clocks run."""

    def outputs(*names: str, until: str) -> list[tuple[str, str]]:
        contract = plain("/v1/contracts", EXAMPLES["contract.set"], source=BILLING)
        lines = [json.dumps(event) for event in published(contract)]
        for name in names:
            source = SOURCES[name.partition("-")[0].replace("alertmanager", "prometheus")]
            lines += [json.dumps(event) for event in published(decided(source, recorded(name)))]
        lines.append(json.dumps(OPENED | {"subject": "last", "time": until}))
        found = [json.loads(line) for line in simulated(lines)]
        return [(each["type"], each["time"]) for each in found if each["data"].get("metric") == "response"]

    assert ("sla.breached", "2026-04-10T09:52:00.123456Z") in outputs(
        "alertmanager-firing", until="2026-04-10T10:00:00Z"
    )
    told = outputs("zendesk-created", "zendesk-comment", until="2026-04-10T12:00:00Z")
    assert ("sla.met", "2026-04-10T08:25:00.25Z") in told
    assert not [each for each in told if each[0] == "sla.breached"]


STATES = """\
version: 1
sources:
  zendesk:
    format: zendesk
    secrets: [{env: SLA_INTAKE_ZENDESK_SECRET}]
    component: [{value: api}]
    impact: [{value: complete_outage}]
    tenants: [{scope: platform}]
    states: {%s}
"""


def states(text: str) -> States:
    return mapping_in((STATES % text).encode(), "intake.yaml")["zendesk"].states


def test_a_status_name_has_one_meaning() -> None:
    with pytest.raises(MappingError, match=r"'On hold' is in waiting_customer and in waiting_third_party; list"):
        states("waiting_third_party: [On hold], waiting_customer: [on hold]")


def test_a_listed_status_name_means_that_whatever_it_meant_by_default() -> None:
    assert states("").of("Pending") == "customer"
    listed = states("waiting_third_party: [Pending]")
    assert [listed.of(each) for each in ("pending", "solved", "new")] == ["third_party", "resolved", "open"]


TICKETS = """version: 1
sources:
  zendesk:
    format: zendesk
    secrets: [{env: SLA_INTAKE_ZENDESK_SECRET}]
    component: [{value: api}]
    impact: [{value: cosmetic}]
    tenants: [{from: detail.organization_id, values: {"1": acme}}]
"""


@pytest.mark.parametrize("word", ["true", '"true"', '"yes"', "1"])
def test_openings_with_updates_are_refused_beside_ignore_however_they_are_written(word: str) -> None:
    keys = f"    opening_with_updates: {word}\n    ignore: [{{detail.type: task}}]\n"
    with pytest.raises(MappingError, match="does not say since when"):
        mapping_in((TICKETS + keys).encode(), "intake.yaml")
    mapping_in((TICKETS + keys.replace(word, '"false"')).encode(), "intake.yaml")


@pytest.mark.parametrize(
    ("before", "after", "problem"),
    [
        ('{"1": acme}', "{}", r"values: this is empty"),
        ("acme", '"a\\tb"', r"values.1: this is no id, it has a control character"),
        ("acme", "a" * 129, r"values.1: this is no id, it has 129 characters"),
        ("value: api", f"value: {'a' * 129}", r"component\[0\].value: this is no id"),
    ],
)
def test_what_no_event_may_have_is_refused_in_a_mapping(before: str, after: str, problem: str) -> None:
    with pytest.raises(MappingError, match=problem):
        mapping_in(TICKETS.replace(before, after).encode(), "intake.yaml")


def test_entries_for_tenants_that_the_source_may_not_affect_are_told() -> None:
    text = TICKETS.replace(
        "{from", "{value: acme, when: {detail.priority: low}}, {scope: platform, when: {detail.priority: high}}, {from"
    )
    (source,) = mapping_in((text + "    only_tenants: [tokyo]\n").encode(), "intake.yaml").values()
    told = [each.split(": ", 1)[1].split(" is not")[0] for each in source.warnings]
    assert told == ["tenant acme", "the whole platform", "tenant acme"]
    (source,) = mapping_in((TICKETS + "    only_tenants: [acme]\n").encode(), "intake.yaml").values()
    assert source.warnings == ()
