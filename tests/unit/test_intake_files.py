"""Mapping files, secrets, limits and settings of the intake: every mistake has its line, no secret shows."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
from collections.abc import Callable, Mapping
from pathlib import Path

import pytest
from typer.testing import CliRunner

from cli.main import app
from connect.intake import signatures
from connect.intake.byte_budget import ByteBudget
from connect.intake.formats import jira as jira_format
from connect.intake.formats import zendesk as zendesk_format
from connect.intake.formats.source_format import AuthenticationError, Credentials
from connect.intake.mapping.classification import Classified, Unmapped, classify
from connect.intake.mapping.rules import Source
from connect.intake.mapping_file import MappingError, load_mapping, mapping_in
from connect.intake.settings import read_intake_settings
from connect.intake.signatures import Secret, read_secrets
from connect.intake.web import openapi
from connect.intake.web.limits import RecentKeys, TokenBucket
from streams.errors import SettingsError
from streams.sla.instants import SECOND, parse_rfc3339

ROOT = Path(__file__).resolve().parents[2]
EXAMPLE = ROOT / "examples" / "intake.yaml"
DATA = ROOT / "tests" / "data" / "intake"

GOOD = """\
version: 1
sources:
  prom:
    format: alertmanager
    secrets: [{env: TOKEN}]
    component: [{from: labels.service}]
    impact: [{value: cosmetic}]
    tenants: [{value: "*"}]
"""


def problems(tmp_path: Path, text: str) -> list[str]:
    file = tmp_path / "intake.yaml"
    file.write_text(text, encoding="utf-8")
    with pytest.raises(MappingError) as caught:
        load_mapping(file)
    return [str(problem).removeprefix(f"{file}:") for problem in caught.value.problems]


def test_the_shipped_example_is_a_mapping(tmp_path: Path) -> None:
    assert set(load_mapping(EXAMPLE)) == {"prometheus", "zendesk", "jira", "billing", "services"}
    file = tmp_path / "good.yaml"
    file.write_text(GOOD, encoding="utf-8")
    assert load_mapping(file)["prom"].source == "/intake/prom"


@pytest.mark.parametrize(
    ("old", "new", "told"),
    [
        ("version: 1", "version: 2", "1: version: 2 is unknown here; allowed: 1"),
        ("format: alertmanager", "format: nagios", "4: sources.prom.format: 'nagios' is unknown here"),
        ("impact:", "impakt:", "7: sources.prom.impakt: unknown key; did you mean impact?"),
        (
            "value: cosmetic",
            "value: cosmatic",
            "7: sources.prom.impact[0].value: 'cosmatic' is not a valid impact; did you mean cosmetic?",
        ),
        (
            "{value: cosmetic}",
            "{from: labels.s, values: {a: huge}}",
            "7: sources.prom.impact[0].values.a: 'huge' is not a valid impact",
        ),
        ("{value: cosmetic}", "{}", "7: sources.prom.impact[0]: an entry has one origin"),
        (
            "{value: cosmetic}",
            "{value: cosmetic, values: {a: b}}",
            "7: sources.prom.impact[0]: a table of values needs a path",
        ),
        ("labels.service", "label.service", "6: sources.prom.component[0].from: 'label.service' begins with no part"),
        ("labels.service", "labels..service", "6: sources.prom.component[0].from: 'labels..service' is not a path"),
        (
            "{env: TOKEN}",
            "{env: SLA_INTAKE_PROM}",
            "5: sources.prom.secrets[0]: SLA_INTAKE_PROM is refused as a setting that no process has",
        ),
        ("{env: TOKEN}", "{env: TOKEN, file: x}", "5: sources.prom.secrets[0]: a secret has exactly one source"),
        ("[{env: TOKEN}]", "[]", "5: sources.prom.secrets: this is empty"),
        (
            "from: labels.service",
            "form: labels.service",
            "6: sources.prom.component[0].form: unknown key; did you mean from?; allowed: when, from, values",
        ),
        ('    tenants: [{value: "*"}]', "    only_tenants: []", "8: sources.prom.only_tenants: this is empty"),
        ('    tenants: [{value: "*"}]', "    only_tenants: ['*']", "8: sources.prom.only_tenants[0]: `*` is no tenant"),
        (
            '    tenants: [{value: "*"}]',
            "    tenants: [{from: labels.tenant, values: {ACME: acme-eu, acme: acme-us}}]",
            "8: sources.prom.tenants[0]: the values ACME and acme have two meanings; case does not count",
        ),
        ("  prom:", "  Prom:", "3: sources.Prom: 'Prom' is not a name of a source"),
        ('    tenants: [{value: "*"}]', "    rate: {burst: 0}", "8: sources.prom.rate.burst: 0 is out of bounds"),
        (
            '    tenants: [{value: "*"}]',
            "    tier: [{value: 4}]",
            "8: sources.prom.tier[0].value: 4 is not a valid tier",
        ),
        (
            '    tenants: [{value: "*"}]',
            "    allow: [incident.*]",
            "8: sources.prom.allow: a source of format alertmanager",
        ),
        ('    tenants: [{value: "*"}]', "    replay_window: PT2H", "8: sources.prom.replay_window: a replay window"),
        ('    tenants: [{value: "*"}]', "", "3: sources.prom: tenants: has no entry"),
        (
            "    format: alertmanager",
            "    format: api",
            "6: sources.prom.component: events of format api carry this themselves",
        ),
        ("    impact:", "    component: []\n    impact:", "7: sources.prom.component: this key is here twice"),
    ],
)
def test_a_mistake_is_told_with_its_line(tmp_path: Path, old: str, new: str, told: str) -> None:
    assert old in GOOD
    found = problems(tmp_path, GOOD.replace(old, new))
    assert any(each.startswith(told) for each in found), found


def listed(conditions: int) -> str:
    """A mapping with one entry and these conditions beside the entries that every mapping needs."""
    conditioned = ", ".join(f"labels.c{number}: a" for number in range(conditions))
    return f"""
version: 1
sources:
  prometheus:
    format: alertmanager
    secrets: [{{env: X}}]
    impact: [{{value: cosmetic}}]
    tenants: [{{value: acme}}]
    component:
      - {{when: {{{conditioned}}}, value: api}}
      - {{from: labels.job, values: {{{", ".join(f"job-{number}: api" for number in range(3_000))}}}}}
"""


def test_a_source_has_a_limit_of_entries_and_conditions_but_not_of_table_rows(tmp_path: Path) -> None:
    assert problems(tmp_path, listed(1_997)) == [
        "4: sources.prometheus: its lists have 2,001 entries and conditions; at most 2,000 are allowed, because each "
        "request is compared with all of them: use tables of `values`, or several sources"
    ]
    file = tmp_path / "intake.yaml"
    file.write_text(listed(1_996), encoding="utf-8")
    assert len(load_mapping(file)["prometheus"].component[0].when) == 1_996


def test_entries_of_the_body_of_any_json_count_too(tmp_path: Path) -> None:
    example = (ROOT / "examples" / "intake" / "uptime-kuma.yaml").read_text(encoding="utf-8")
    states = "".join(f'\n        - {{when: {{monitor.id: "{number}"}}, value: opened}}' for number in range(1_000))
    found = problems(tmp_path, example.replace("      state:", f"      state:{states}"))
    assert [each for each in found if "entries and conditions; at most 2,000 are allowed" in each]


class Counting(dict[str, object]):
    """A payload that counts how often it is read."""

    def __init__(self, *given: object) -> None:
        super().__init__(*given)  # type: ignore[arg-type]
        self.reads = 0

    def __getitem__(self, name: str) -> object:
        self.reads += 1
        return super().__getitem__(name)


def test_a_long_list_is_looked_up_once_for_all_conditions(tmp_path: Path) -> None:
    entries = "".join(f"\n      - {{when: {{labels.tag: t{number}}}, value: api}}" for number in range(500))
    file = tmp_path / "intake.yaml"
    file.write_text(listed(1).replace("component:", f"component:{entries}"), encoding="utf-8")
    view = Counting({"labels": {"tag": [f"other-{number}" for number in range(1_000)], "job": "JOB-7"}})
    found = classify(load_mapping(file)["prometheus"], view)
    assert isinstance(found, Classified)
    assert found.component == "api"
    assert view.reads == 3  # labels.tag, labels.c0, labels.job
    unknown = classify(load_mapping(file)["prometheus"], {"labels": {"job": ["x"] * 1_000}})
    shown = "x, " * 20 + "…"
    assert unknown == Unmapped(f"component: labels.job is '{shown}', which line 511 of the mapping does not name")


def test_reasons_of_many_entries_are_cut(tmp_path: Path) -> None:
    entries = "".join(f"\n      - {{from: labels.n{number}}}" for number in range(500))
    text = GOOD.replace("component: [{from: labels.service}]", f"component:{entries}")
    file = tmp_path / "intake.yaml"
    file.write_text(text, encoding="utf-8")
    found = classify(load_mapping(file)["prom"], {"labels": {}})
    assert isinstance(found, Unmapped)
    assert found.reason.endswith("labels.n9 is absent and 490 more entries give nothing")


def test_secrets_come_from_environment_or_files_and_never_show(tmp_path: Path) -> None:
    file = tmp_path / "token"
    file.write_text("0123456789abcdef\n", encoding="utf-8")
    source = load_mapping(EXAMPLE)["prometheus"]
    both = (source.secrets[0], source.secrets[0]._replace(kind="file", name=str(file)))
    two = Source("p", "alertmanager", both, "/p")
    (env, from_file) = read_secrets([two], {"SLA_INTAKE_PROMETHEUS_TOKEN": "fedcba9876543210"})["p"]
    assert from_file.equals("0123456789abcdef")
    assert env.equals("fedcba9876543210")
    assert "fedc" not in repr(env) + str(env)
    for environment, told in (
        ({}, "is empty or not set"),
        ({"SLA_INTAKE_PROMETHEUS_TOKEN": "hunter2"}, "is too short"),
    ):
        with pytest.raises(SettingsError, match=told) as caught:
            read_secrets([two], environment)
        assert "hunter2" not in str(caught.value)
    file.unlink()
    with pytest.raises(SettingsError, match="can't be read"):
        read_secrets([two], {"SLA_INTAKE_PROMETHEUS_TOKEN": "fedcba9876543210"})


def proves(
    authenticate: Callable[[Credentials], None],
    secrets: tuple[Secret, ...],
    headers: Mapping[str, str | None],
    content: bytes,
    now: str,
) -> bool:
    """Whether a format takes headers (None: absent) and a body as proof of the sender."""
    given = {name: value for name, value in headers.items() if value is not None}
    try:
        authenticate(Credentials(given, content, secrets, parse_rfc3339(now), 300 * SECOND))
    except AuthenticationError:
        return False
    return True


def test_signatures_fit_their_body_key_and_time_alone() -> None:
    key, body, time = "a-signing-secret", b'{"a":1}', "2026-04-10T08:00:00Z"
    zendesk = base64.b64encode(hmac.digest(key.encode(), time.encode() + body, "sha256")).decode()
    hub = "sha256=" + hmac.new(key.encode(), body, hashlib.sha256).hexdigest()
    rotated, other = (Secret("the-next-secret-1"), Secret(key)), (Secret("the-next-secret-1"),)

    def by_zendesk(secrets: tuple[Secret, ...], signature: str | None, at: str | None, content: bytes) -> bool:
        headers = {"X-Zendesk-Webhook-Signature": signature, "X-Zendesk-Webhook-Signature-Timestamp": at}
        return proves(zendesk_format.authenticate, secrets, headers, content, time)

    def by_jira(secrets: tuple[Secret, ...], signature: str | None, content: bytes) -> bool:
        return proves(jira_format.authenticate, secrets, {"X-Hub-Signature": signature}, content, time)

    assert by_zendesk(rotated, zendesk, time, body)
    assert by_jira(rotated, hub, body)
    for given in (None, "", zendesk[:-2], zendesk.lower(), "ü\udc80"):
        assert not by_zendesk(rotated, given, time, body)
        assert not by_jira(rotated, given, body)
    assert not by_zendesk(rotated, zendesk, None, body)
    assert not by_zendesk(rotated, zendesk, "2026-04-10T08:00:01Z", body)
    assert not by_zendesk(rotated, zendesk, time, body + b" ")
    assert not by_zendesk(other, zendesk, time, body)
    assert not by_jira(other, hub, body)
    assert not by_jira(rotated, hub.removeprefix("sha256="), body)
    assert signatures.bearer(rotated, f"bearer {key}")
    for given in (None, key, f"Basic {key}", f"Bearer {key}x", "Bearer "):
        assert not signatures.bearer(rotated, given)


def test_a_replayed_timestamp_is_old_soon() -> None:
    signed, window = "2026-04-10T08:00:00Z", 300 * SECOND
    now = parse_rfc3339(signed)
    assert signatures.fresh(signed, now + window, window)
    assert signatures.fresh(signed, now - window, window)
    assert not signatures.fresh(signed, now + window + 1, window)
    assert not signatures.fresh(signed, now - window - 1, window)
    assert not signatures.fresh("soon", now, window)


def test_a_bucket_lets_a_burst_through_then_its_rate() -> None:
    bucket = TokenBucket(2.0, 3, now=0)
    assert [bucket.acquire(0) for _ in range(4)] == [None, None, None, 1]
    assert bucket.acquire(SECOND // 2) is None
    assert bucket.acquire(SECOND // 2) == 1
    assert bucket.acquire(0) == 1  # the clock was stepped back
    assert TokenBucket(0.1, 1, 0).acquire(0) is None
    slow = TokenBucket(0.1, 1, 0)
    slow.acquire(0)
    assert slow.acquire(0) == 10


def test_budgets_and_memories_are_bounded() -> None:
    budget = ByteBudget(10)
    assert budget.reserve(6)
    assert not budget.reserve(5)
    budget.release(6)
    assert budget.reserve(10)
    recent = RecentKeys(2)
    for digest in (b"1", b"2", b"3"):
        recent.add(digest)
    assert (b"1" in recent, b"3" in recent) == (False, True)
    recent.add(b"2")
    recent.add(b"4")
    assert (b"2" in recent, b"3" in recent) == (True, False), "what was added last stays"


def test_settings_name_their_variable(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SLA_INTAKE_MAX_BODY", "2048")
    monkeypatch.setenv("SLA_INTAKE_ACK_TIMEOUT", "PT2S")
    assert (read_intake_settings().max_body, read_intake_settings().ack_timeout) == (2048, 2 * SECOND)
    monkeypatch.setenv("SLA_INTAKE_RETRY_AFTER", "60")
    with pytest.raises(SettingsError, match="SLA_INTAKE_RETRY_AFTER"):
        read_intake_settings()


def test_the_kept_openapi_document_is_the_one_that_is_served() -> None:
    assert openapi.FILE.read_text(encoding="utf-8") == openapi.text(), "python -m connect.intake.web.openapi"


def test_the_dry_run_shows_what_would_be_published_or_why_not() -> None:
    def run(*words: object, code: int = 0) -> str:
        done = CliRunner().invoke(app, ["intake", "test", *map(str, words), "--mapping", str(EXAMPLE)])
        assert done.exit_code == code, done.output
        return done.output

    shown = run(DATA / "alertmanager-firing.json").splitlines()
    assert shown[0] == "as prometheus (alertmanager):"
    assert json.loads(shown[2])["type"] == "incident.opened"
    assert "reject alerts[0] as invalid: component" in run(DATA / "alertmanager-unmapped.json", code=1)
    assert "ignore alerts[0]: the mapping ignores it" in run(DATA / "alertmanager-watchdog.json")
    assert "incident.resolved of zendesk-5158" in run(DATA / "zendesk-solved.json")
    assert "incident.waiting of jira-10042" in run(DATA / "jira-waiting.json", "--source", "jira")
    assert "there is no source 'x'" in run(DATA / "jira-waiting.json", "--source", "x", code=2)
    assert "can't be read" in run(DATA / "absent.json", code=2)


def test_the_dry_run_of_plain_json_and_cloudevents(tmp_path: Path) -> None:
    def run(body: object, *words: object, code: int = 0) -> str:
        file = tmp_path / "body.json"
        file.write_text(json.dumps(body), encoding="utf-8")
        done = CliRunner().invoke(app, ["intake", "--mapping", str(EXAMPLE), "test", str(file), *map(str, words)])
        assert done.exit_code == code, done.output
        return done.output

    opening = openapi.EXAMPLES["incident.opened"]
    assert "incident.opened of inc-42" in run(opening, "--path", "/v1/incidents", "--source", "services")
    resolved = openapi.EXAMPLES["incident.resolved"]
    words = ("--path", "/v1/incidents/inc-42/resolved", "--source", "services")
    assert "incident.resolved of inc-42" in run(resolved, *words)
    assert "there is no address /v1/x" in run(resolved, "--path", "/v1/x", "--source", "services", code=2)
    assert "which source sends it?" in run(opening, "--path", "/v1/incidents", code=2)
    event = openapi.STRUCTURED_EXAMPLE
    assert "incident.opened of inc-42" in run(event, "--source", "services")
    assert "billing may not publish" in run([event], "--source", "billing", code=1)
    assert "nothing: the request contains no item" in run([], "--source", "services")


def test_an_intake_that_cannot_start_says_why_in_one_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def told(*words: object) -> str:
        done = CliRunner().invoke(app, ["intake", *map(str, words)])
        assert done.exit_code == 2
        assert done.stderr.count("\n") == 1
        return done.stderr

    monkeypatch.delenv("SLA_INTAKE_PROMETHEUS_TOKEN", raising=False)
    assert "there is no mapping file" in told("--mapping", tmp_path / "absent.yaml")
    assert "SLA_INTAKE_PROMETHEUS_TOKEN is empty or not set" in told("--mapping", EXAMPLE)
    bad = tmp_path / "bad.yaml"
    bad.write_text(
        GOOD.replace("impact:", "impakt:").replace("  prom:\n", "  prom:\n    impact: [{value: cosmetic}]\n")
    )
    assert f"{bad}:8: sources.prom.impakt: unknown key" in told("--mapping", bad)
    assert "SLA_INTAKE_PORT" in told("--mapping", EXAMPLE, "--port", "70000")


def test_a_number_in_place_of_a_text_is_the_text_that_the_file_has() -> None:
    """Before, 1.10 was 1.1: another version, and another tenant."""
    source = mapping_in(
        b"""version: 1
sources:
  prometheus:
    format: alertmanager
    secrets: [{env: TOKEN}]
    component: [{when: {labels.version: 1.10}, value: api}]
    impact: [{value: cosmetic}]
    tenants: [{from: labels.tenant, values: {first: 1.10, second: 2}}]
    only_tenants: [1.10, 2]
""",
        "intake.yaml",
    )["prometheus"]
    assert source.only_tenants == ("1.10", "2")
    found = classify(source, {"labels": {"version": "1.10", "tenant": "first"}})
    assert isinstance(found, Classified)
    assert found.tenant_ids == ("1.10",)
    # A sender of JSON may have it as a number.
    assert isinstance(classify(source, {"labels": {"version": 1.10, "tenant": "second"}}), Classified)
