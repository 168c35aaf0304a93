"""The guide of docs/intake.md from an unknown webhook to the first breach, as written."""

from __future__ import annotations

import re
from pathlib import Path
from textwrap import indent

from intake_samples import ROOT, published
from story import policies

from connect.intake import translate
from connect.intake.mapping.authentication import (
    AddressToken,
    BasicAccount,
    BearerToken,
    BodySignature,
    ProxySubject,
    TokenHeader,
)
from connect.intake.mapping_file import load_mapping
from streams.replay.simulate import simulate
from streams.serde.cloudevents_json import format_line
from streams.sla.instants import parse_rfc3339

GUIDE = (ROOT / "docs" / "intake.md").read_text(encoding="utf-8").partition("### From an unknown webhook")[2]
MAPPING, *STEPS = re.findall(r"^```(?:yaml|sh)\n(.*?)^```$", GUIDE.partition("### The key `body`")[0], re.S | re.M)


SCHEMES = re.search(r"^### Authentication\n.*?^```yaml\n(.*?)^```$", GUIDE, re.S | re.M)


def test_each_way_to_authenticate_is_one(tmp_path: Path) -> None:
    assert SCHEMES is not None
    found = set()
    for text in re.split(r"^(?=authentication:)", SCHEMES[1], flags=re.M)[1:]:
        mapping = MAPPING.replace("    body:", f"{indent(text, '    ')}    body:")
        file = tmp_path / "intake.yaml"
        by_proxy = "proxy_subject" in text
        file.write_text(re.sub(r"    secrets: .*\n", "", mapping) if by_proxy else mapping, encoding="utf-8")
        authentication = load_mapping(file)["pulse"].authentication
        assert authentication is not None
        found.add(type(authentication.scheme))
    assert found == {BearerToken, AddressToken, BasicAccount, TokenHeader, BodySignature, ProxySubject}


def test_the_guess_is_wrong_in_the_way_that_the_guide_says_and_its_correction_leads_to_a_breach(tmp_path: Path) -> None:
    body = (
        STEPS[1]
        .partition('down="')[2]
        .partition('}"')[0]
        .replace("\\", "")
        .replace("$(( $(date +%s) - 18000 ))", "1791791463")
    )
    quoted = re.search(r"The guess was wrong: `(.*?)`", GUIDE)
    correction = re.search(r"Add `console: ui` to the table, `(.*?)`", GUIDE)
    assert quoted is not None
    assert correction is not None
    file = tmp_path / "intake.yaml"
    file.write_text(MAPPING, encoding="utf-8")
    (rejected,) = translate.webhook(load_mapping(file)["pulse"], f"{body}}}".encode()).rejected
    assert rejected.reason == quoted[1]
    file.write_text(re.sub(r"values: \{checkout: api\}", correction[1], MAPPING), encoding="utf-8")
    lines = [
        format_line(each) for each in published(translate.webhook(load_mapping(file)["pulse"], f"{body}}}".encode()))
    ]
    outputs = list(simulate(lines, policies(), until=parse_rfc3339("2026-10-12T12:51:03Z")))
    breaches = [each["data"]["severity"] for each in outputs if each["type"] == "sla.breached"]
    assert breaches[0] == "P1"
    assert f"sla incidents show {outputs[0]['data']['incident_id']} " in STEPS[-1]
