"""`sla settings`: what a process would have here, where from, and no secret."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from cli.main import app
from cli.settings.table import SECTIONS, settings_of


@pytest.fixture(autouse=True)
def _nothing_is_set(monkeypatch: pytest.MonkeyPatch) -> None:
    import os

    for name in list(os.environ):
        if name.upper().startswith("SLA_"):
            monkeypatch.delenv(name)


def shown(*words: str) -> dict[str, dict[str, object]]:
    ended = CliRunner().invoke(app, ["settings", *words, "--json"])
    assert ended.exit_code == 0, ended.stderr
    lines = [json.loads(line) for line in ended.stdout.splitlines()]
    return {line["variable"]: line for line in lines}


@pytest.mark.parametrize(
    ("process", "own"), [("worker", "Worker"), ("intake", "Intake"), ("notify", "Notifier"), ("board", "Board")]
)
def test_every_setting_of_a_process_is_there_with_its_default(process: str, own: str) -> None:
    found = shown(process)
    expected = {each.variable for name in ("Kafka", own) for each in settings_of(SECTIONS[name])}
    assert expected <= found.keys()
    assert {line["source"] for line in found.values()} == {"default"}
    others = {"Worker", "Intake", "Notifier", "Board"} - {own}
    only_theirs = {each.variable for name in others for each in settings_of(SECTIONS[name])} - expected
    assert not only_theirs & found.keys()


def test_where_values_come_from_and_no_secret(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    key = tmp_path / "key"
    key.write_text("a-secret-of-a-file")
    for name, value in {
        "SLA_BROKERS": "kafka:9093",
        "SLA_SECURITY_PROTOCOL": "SASL_PLAINTEXT",
        "SLA_SASL_MECHANISM": "PLAIN",
        "SLA_SASL_USERNAME": "sla",
        "SLA_SASL_PASSWORD": "a-secret-password",
        "SLA_KAFKA_CLIENT_RACK": "eu-1a",
        "SLA_PSEUDONYM_KEY_FILE": str(key),
        "SLA_SCHEMA_REGISTRY_URL": "http://kim:a-secret-too@registry:8080/api",
    }.items():
        monkeypatch.setenv(name, value)
    found = shown("worker", "--set")
    assert {name: (line.get("value"), line["source"]) for name, line in found.items()} == {
        "SLA_BROKERS": ("kafka:9093", "environment"),
        "SLA_SECURITY_PROTOCOL": ("SASL_PLAINTEXT", "environment"),
        "SLA_SASL_MECHANISM": ("PLAIN", "environment"),
        "SLA_SASL_USERNAME": ("sla", "environment"),
        "SLA_SASL_PASSWORD": (None, "environment"),
        "SLA_KAFKA_CLIENT_RACK": ("eu-1a", "environment"),
        "SLA_PSEUDONYM_KEY": (None, "file"),
        "SLA_SCHEMA_REGISTRY_URL": ("***@registry:8080/api", "environment"),
    }
    text = CliRunner().invoke(app, ["settings"]).stdout
    assert "SLA_BROKERS=kafka:9093  # environment\n" in text
    assert "SLA_SASL_PASSWORD=***  # environment\n" in text
    assert "SLA_TOPIC_PREFIX=sla\n" in text
    assert "secret" not in text


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        ("SLA_BROKER", "kafka:9092", "did you mean SLA_BROKERS?"),
        ("SLA_INTAKE_PORT", "many", "SLA_INTAKE_PORT: 'many' can't be used"),
        ("SLA_SASL_PASSWORD", "x", "SLA_SASL_PASSWORD has no effect with the protocol PLAINTEXT"),
    ],
)
def test_what_would_end_the_process_ends_the_command(
    name: str, value: str, message: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(name, value)
    ended = CliRunner().invoke(app, ["settings", "intake"])
    assert ended.exit_code == 2
    assert message in ended.stderr
