"""`sla contracts`, `maintenance`, `claim` against a real broker: the difference first, the same again nothing."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from on_kafka import Run, tailed

pytestmark = pytest.mark.kafka

HEAD = "tenant_id,valid_from,valid_to,plan,amount_minor,currency,tier,time_zone,emergency_member"
ACME = "acme,2026-01-01T00:00:00Z,,scalr-emergency,500000,USD,1,Asia/Tokyo,yes"
PRESS = "press,2026-02-01T00:00:00Z,2027-02-01T00:00:00Z,golden,199999,EUR,,,no"
WINDOW = ("--start", "2099-06-07T01:00:00Z", "--end", "2099-06-07T03:00:00Z", "--component", "api")


def file_of(folder: Path, *lines: str) -> Path:
    file = folder / "contracts.csv"
    file.write_text("\n".join([HEAD, *lines]) + "\n", encoding="utf-8")
    return file


def facts(run: Run) -> list[str]:
    return [str(event["type"]) for event in tailed(run, "contract-events")]


def test_an_import_shows_the_difference_asks_and_publishes_once(run: Run, tmp_path: Path) -> None:
    file = file_of(tmp_path, ACME, PRESS)
    dry = run("contracts", "import", file, "--dry-run")
    assert dry.exit_code == 1, dry.stderr
    assert dry.stdout.splitlines()[:6] == [
        "acme: new tenant, from 2026-01-01T00:00:00Z",
        "  plan: scalr-emergency",
        "  monthly_charge: $5,000.00 (USD)",
        "  tier: 1",
        "  time_zone: Asia/Tokyo",
        "  emergency_member: yes",
    ]
    assert "  warning: no policy golden here; there are: " in dry.stdout
    assert dry.stdout.splitlines()[-1] == "2 facts to publish, 0 unchanged, 0 tenants not in the file"
    declined = run("contracts", "import", file, stdin=b"n\n")
    assert (declined.exit_code, declined.stderr) == (1, "nothing was published\n")
    assert facts(run) == []

    done = run("contracts", "import", file, stdin=b"y\n")
    assert done.exit_code == 0, done.stderr
    assert "publish 2 facts? [y/N]" in done.stdout
    assert done.stderr == "2 facts published\n"
    assert facts(run) == ["contract.set"] * 2

    for words in ((), ("--yes",), ("--dry-run",)):
        again = run("contracts", "import", file, *words)
        assert again.exit_code == 0, again.stderr
        assert again.stdout == "0 facts to publish, 2 unchanged, 0 tenants not in the file\n"
    assert facts(run) == ["contract.set"] * 2

    changed = run("contracts", "import", file_of(tmp_path, ACME.replace("500000", "600000")), "--yes")
    assert changed.exit_code == 0, changed.stderr
    assert changed.stdout.splitlines() == [
        "acme: corrected, from 2026-01-01T00:00:00Z",
        "  monthly_charge: $5,000.00 (USD) → $6,000.00 (USD)",
        "1 fact to publish, 0 unchanged, 1 tenant not in the file",
    ]
    assert facts(run) == ["contract.set"] * 3


def test_json_lines_come_from_standard_input(run: Run) -> None:
    data = {
        "tenant_id": "acme",
        "valid_from": "2026-01-01T00:00:00Z",
        "plan": "scalr-emergency",
        "monthly_charge": {"amount_minor": 1, "currency": "USD"},
        "emergency_member": False,
    }
    line = json.dumps(data).encode()
    assert run("contracts", "import", "-", stdin=line).exit_code == 2
    assert run("contracts", "import", "-", "--yes", stdin=line).exit_code == 0
    (event,) = tailed(run, "contract-events")
    assert event["data"] == data
    assert event["source"] == "/sla/contracts"


def test_if_any_line_is_bad_each_is_named_and_nothing_is_published(run: Run, tmp_path: Path) -> None:
    file = file_of(tmp_path, ACME, ACME.replace("acme", "b").replace(",1,", ",9,"), PRESS, "x")
    done = run("contracts", "import", file, "--yes")
    assert done.exit_code == 2
    assert done.stderr.splitlines() == [
        f"{file}:3: tier: expected 1, 2 or 3, got 9",
        f"{file}:5: has 1 values; the file has 9 columns",
        "2 bad lines; nothing was published",
    ]
    assert facts(run) == []
    assert run("contracts", "import", tmp_path / "absent.csv").exit_code == 2


def test_contracts_are_listed_and_shown(run: Run, tmp_path: Path) -> None:
    assert run("contracts", "list").stdout == "there are no contracts\n"
    june = ACME.replace("2026-01", "2026-06").replace("500000", "700000")
    run("contracts", "import", file_of(tmp_path, ACME, june, PRESS), "--yes")
    listed = [
        json.loads(line)
        for line in run("contracts", "list", "--json", "--at", "2026-05-01T00:00:00Z").stdout.splitlines()
    ]
    assert [(each["tenant_id"], each["monthly_charge"]["amount_minor"]) for each in listed] == [
        ("acme", 500_000),
        ("press", 199_999),
    ]
    early = run("contracts", "list", "--at", "2026-01-15T00:00:00Z")
    assert "$5,000.00" in early.stdout
    assert "1 tenant without terms in force then: press" in early.stdout
    assert run("contracts", "list", "--at", "soon").exit_code == 2
    run("claim", "acme", "2026-04")
    shown = run("contracts", "show", "acme")
    assert shown.exit_code == 0, shown.stderr
    assert "$5,000.00" in shown.stdout
    assert "$7,000.00" in shown.stdout
    assert "months are those of Asia/Tokyo, money is in USD" in shown.stdout
    assert "credit of 2026-04 claimed at " in shown.stdout
    assert len(run("contracts", "show", "acme", "--json").stdout.splitlines()) == 2
    assert "there is no contract of nobody" in run("contracts", "show", "nobody").stderr


def test_maintenance_is_scheduled_changed_cancelled_once_each(run: Run) -> None:
    assert run("maintenance", "list").stdout == "there is no maintenance\n"
    assert run("maintenance", "schedule", "db-move", *WINDOW).exit_code == 2
    assert run("maintenance", "schedule", "db-move", *WINDOW, "--tenant", "a", "--platform").exit_code == 2
    first = run("maintenance", "schedule", "db-move", *WINDOW, "--tenant", "acme", "--tenant", "press")
    assert (first.exit_code, first.stdout) == (0, "db-move is scheduled\n"), first.stderr
    unknown = [f"warning: tenant {tenant} is without a contract" for tenant in ("acme", "press")]
    assert first.stderr.splitlines() == unknown
    again = run("maintenance", "schedule", "db-move", *WINDOW, "--tenant", "acme", "--tenant", "press")
    assert again.stdout == "db-move is scheduled so already; nothing was published\n"
    wider = run("maintenance", "schedule", "db-move", *WINDOW, "--platform", "--announced-at", "2099-06-01T00:00:00Z")
    assert wider.stdout == "db-move is changed\n"
    assert wider.stderr == ""
    (window,) = (json.loads(line) for line in run("maintenance", "list", "--json").stdout.splitlines())
    assert window == {
        "maintenance_id": "db-move",
        "cancelled": False,
        "scope": "platform",
        "tenant_ids": [],
        "components": ["api"],
        "start": "2099-06-07T01:00:00Z",
        "end": "2099-06-07T03:00:00Z",
        "announced_at": "2099-06-01T00:00:00Z",
    }
    assert "everybody" in run("maintenance", "list").stdout
    # Moved without a word of when that was announced: it is announced now, not when it was first (R23).
    moved = run("maintenance", "schedule", "db-move", *WINDOW, "--platform", "--component", "ui")
    assert moved.stdout == "db-move is changed\n"
    (window,) = (json.loads(line) for line in run("maintenance", "list", "--json").stdout.splitlines())
    assert window["announced_at"] < "2099"
    assert run("maintenance", "cancel", "db-move").stdout == "db-move is cancelled\n"
    assert run("maintenance", "cancel", "db-move").stdout == "db-move is cancelled already; nothing was published\n"
    assert "cancelled" in run("maintenance", "list").stdout
    assert "there is no maintenance 'other'" in run("maintenance", "cancel", "other").stderr
    assert facts(run) == ["maintenance.scheduled"] * 3 + ["maintenance.cancelled"]
    bad = run("maintenance", "schedule", "m", "--start", "soon", "--end", "later", "--component", "api", "--platform")
    assert (bad.exit_code, bad.stderr.count("\n")) == (2, 1)
    assert "data.start: 'soon' is not an RFC 3339 date-time" in bad.stderr


def test_a_window_that_comes_too_late_is_warned_about(run: Run) -> None:
    past = ("--start", "2026-01-01T00:00:00Z", "--end", "2026-01-02T00:00:00Z", "--component", "api", "--platform")
    done = run("maintenance", "schedule", "past", *past)
    assert (done.exit_code, done.stdout) == (0, "past is scheduled\n")
    assert done.stderr == "warning: it was announced after its start, so it excludes no downtime\n"


def test_a_credit_is_claimed_once(run: Run, tmp_path: Path) -> None:
    assert "there is no contract of acme" in run("claim", "acme", "2026-04").stderr
    run("contracts", "import", file_of(tmp_path, ACME), "--yes")
    done = run("claim", "acme", "2026-04", "--who", "customer:pat")
    assert (done.exit_code, done.stdout) == (0, "credit of 2026-04 is claimed for acme\n"), done.stderr
    again = run("claim", "acme", "2026-04", "--who", "support:kim")
    assert again.exit_code == 0
    assert again.stdout.startswith("2026-04 was claimed at ")
    claims = [event for event in tailed(run, "contract-events") if event["type"] == "credit.claimed"]
    assert [event["data"] for event in claims] == [
        {"tenant_id": "acme", "month": "2026-04", "who": {"kind": "customer", "id": "pat"}}
    ]
    for words in (("acme", "April"), ("acme", "2026-04", "--who", "boss"), ("acme", "2026-04", "--who", "customer:")):
        wrong = run("claim", *words)
        assert (wrong.exit_code, wrong.stderr.count("\n")) == (2, 1)


@pytest.mark.parametrize("words", [("contracts", "list"), ("maintenance", "list"), ("claim", "acme", "2026-04")])
def test_a_broker_that_is_not_there_is_told_in_one_line(run: Run, words: tuple[str, ...]) -> None:
    done = run(*words, "--brokers", "127.0.0.1:1")
    assert done.exit_code == 2
    assert done.stderr.count("\n") == 1
    assert "no Kafka broker answers" in done.stderr


def test_facts_name_who_caused_them(run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SLA_WHO", "support:kim")
    for words in (
        ("contracts", "import", file_of(tmp_path, ACME), "--yes"),
        ("maintenance", "schedule", "db-move", *WINDOW, "--platform", "--who", "system:planner"),
        ("maintenance", "cancel", "db-move"),
    ):
        done = run(*words)
        assert done.exit_code == 0, done.stderr
    people = [event["data"]["who"] for event in tailed(run, "contract-events")]
    assert sorted(people, key=str) == [{"kind": "support", "id": "kim"}] * 2 + [{"kind": "system", "id": "planner"}]
    wrong = run("maintenance", "schedule", "other", *WINDOW, "--platform", "--who", "kim")
    assert wrong.exit_code == 2
    assert wrong.stderr.startswith("--who: kim is not allowed; allowed: KIND:ID")


def test_an_erasure_asks_for_the_id_and_is_published_once(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SLA_WHO", "support:kim")
    words = ("contracts", "erase", "acme", "--reason", "request 4711")
    unknown = run(*words, "--yes")
    assert (unknown.exit_code, "there is no contract of acme" in unknown.stderr) == (2, True)
    assert run("contracts", "import", file_of(tmp_path, ACME), "--yes").exit_code == 0
    mistyped = run(*words, stdin=b"acne\n")
    assert (mistyped.exit_code, "nothing was published" in mistyped.stderr) == (1, True)
    assert "SLA_PSEUDONYM_KEY is not set" in mistyped.stderr
    assert run(*words, "--json").exit_code == 2
    done = run(*words, stdin=b"acme\n")
    assert (done.exit_code, done.stdout.splitlines()[-1]) == (0, "acme is erased"), done.stderr
    again = run(*words, "--json", "--yes")
    assert json.loads(again.stdout)["outcome"] == "unchanged"
    (event,) = [each for each in tailed(run, "contract-events") if each["type"] == "tenant.erased"]
    assert event["data"] == {"tenant_id": "acme", "who": {"kind": "support", "id": "kim"}, "reason": "request 4711"}
