"""Settings from the environment: names that nobody reads, wrong values, secrets in files, and the documented table."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from pydantic import BaseModel
from typer.testing import CliRunner

from agents import worker
from cli.main import app
from cli.settings import generate
from cli.settings.table import CLASSES, SECTIONS, settings_of
from streams.configuration.environment import EnvironmentSettings, from_environment
from streams.configuration.fields import allowed_values, example_text, is_secret
from streams.configuration.variables import OTHER_VARIABLES, check_variables
from streams.errors import SettingsError
from streams.settings import Settings, read_settings
from tests.waiting import TIMEOUT_S

SECRET = "hunter2-hunter2"


@pytest.mark.parametrize(
    ("name", "near"),
    [
        ("SLA_BROKER", "SLA_BROKERS"),
        ("SLA_TOPIC_PREFX", "SLA_TOPIC_PREFIX"),
        ("sla_partitons", "SLA_PARTITIONS"),
        ("SLA_BOARD_PROT", "SLA_BOARD_PORT"),
        ("SLA_SASL_PASSWD", "SLA_SASL_PASSWORD"),
        ("SLA_WH0", "SLA_WHO"),
    ],
)
def test_a_variable_that_no_process_reads_is_refused_with_the_one_that_was_meant(name: str, near: str) -> None:
    with pytest.raises(SettingsError, match=rf"^{name} is not a setting of any process; did you mean {near}\?"):
        check_variables({name: "x", "PATH": "/bin"})


@pytest.mark.parametrize("name", ["", " ", " sla", "sla "])
def test_an_app_id_that_nobody_sees_is_refused(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SLA_APP_ID", name)
    with pytest.raises(SettingsError, match=r"^SLA_APP_ID: .* can't be used; allowed: any text without a space"):
        read_settings()
    monkeypatch.setenv("SLA_APP_ID", "s")
    assert read_settings().app_id == "s"


def test_one_environment_may_serve_all_processes() -> None:
    names = [each.variable for section in CLASSES for each in settings_of(section)]
    names += [*OTHER_VARIABLES, "SLA_SASL_PASSWORD_FILE", "SLA_INTAKE_PROMETHEUS_TOKEN", "SLA_NOTIFY_TOKYO_URL"]
    check_variables(dict.fromkeys(names, "x"))


def test_what_kubernetes_sets_for_services_is_no_setting() -> None:
    links = {
        "SLA_FLOW_SERVICE_HOST": "10.0.0.1",
        "SLA_FLOW_SERVICE_PORT_HTTP": "80",
        "SLA_FLOW_PORT": "tcp://10.0.0.1:80",
        "SLA_FLOW_PORT_80_TCP_ADDR": "10.0.0.1",
    }
    check_variables(links)
    with pytest.raises(SettingsError, match="SLA_FLOW_PORT "):
        check_variables({"SLA_FLOW_PORT": "80"})


def test_a_port_that_kubernetes_sets_is_explained(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SLA_HEALTH_PORT", "tcp://10.0.0.1:80")
    with pytest.raises(SettingsError, match=r"SLA_HEALTH_PORT: .*enableServiceLinks: false"):
        read_settings()


def test_a_secret_of_a_file_with_another_name_is_told_how_to_be_named() -> None:
    with pytest.raises(SettingsError, match=r"SLA_INTAKE_GRAFANA_CREDENTIALS .*ends in _TOKEN, _SECRET, _KEY"):
        check_variables({"SLA_INTAKE_GRAFANA_CREDENTIALS": "x"})


def test_every_command_refuses_an_unknown_variable() -> None:
    found = CliRunner().invoke(app, ["policy", "show"], env={"SLA_BROKER": "kafka:9092"})
    assert found.exit_code == 2
    assert found.output.startswith("SLA_BROKER is not a setting of any process; did you mean SLA_BROKERS?")


def test_a_worker_refuses_an_unknown_variable() -> None:
    command = [sys.executable, "-c", "import sys; from agents.worker import main; sys.exit(main())"]
    found = subprocess.run(
        command, check=False, env={"SLA_BROKER": "k:9092"}, capture_output=True, text=True, timeout=TIMEOUT_S
    )
    assert found.returncode == 2
    assert "did you mean SLA_BROKERS" in found.stdout + found.stderr


def test_a_worker_without_brokers_says_so(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    """An empty variable, as a template without its value gives."""
    monkeypatch.setenv("SLA_BROKERS", "")
    monkeypatch.setattr(worker, "run_process", lambda _: pytest.fail("the worker runs"))
    monkeypatch.setattr(worker, "work", lambda _: None)
    monkeypatch.setattr(worker, "configure_logs", lambda **_: None)
    assert worker.main() == 2
    assert "no brokers are named; set SLA_BROKERS" in "".join(capsys.readouterr())


#: For each kind of setting: a value that can't be used, and what the message has to say.
WRONG = {
    "SLA_BROKERS": ("kafka:port", "'kafka:port' is not the address of a broker; allowed: HOST:PORT"),
    "SLA_TOPIC_PREFIX": ("a b", "'a b' can't be used; allowed: letters, digits, . _ and -"),
    "SLA_SECURITY_PROTOCOL": ("TLS", "'TLS' can't be used; allowed: PLAINTEXT, SSL, SASL_PLAINTEXT, SASL_SSL"),
    "SLA_LOG_LEVEL": ("LOUD", "'LOUD' can't be used; allowed: DEBUG, INFO, WARNING, ERROR, CRITICAL"),
    "SLA_LOG_FORMAT": ("xml", "'xml' can't be used; allowed: json, console"),
    "SLA_PARTITIONS": ("many", "'many' can't be used; allowed: a whole number of partitions, at least 1"),
    "SLA_REJECT_SHARE_LIMIT": ("2", "'2' can't be used; allowed: a number, 0 to 1"),
    "SLA_HEALTH_PORT": ("70000", "'70000' can't be used; allowed: a port, 0 to 65535"),
    "SLA_SESSION_TIMEOUT": ("10", "'10' is not a duration; allowed: an ISO 8601 duration such as"),
    "SLA_MARK_EVERY": ("PT0S", "must be longer than zero; allowed: an ISO 8601 duration above PT0S"),
    "SLA_SCHEMA_REGISTRY_REGISTER": ("maybe", "'maybe' can't be used; allowed: true or false"),
    "SLA_SCHEMA_REGISTRY_COMPATIBILITY": ("SOME", "'SOME' can't be used; allowed: NONE, BACKWARD"),
}


@pytest.mark.parametrize("variable", WRONG)
def test_a_wrong_value_names_its_variable_and_what_is_allowed(variable: str, monkeypatch: pytest.MonkeyPatch) -> None:
    value, told = WRONG[variable]
    monkeypatch.setenv(variable, value)
    with pytest.raises(SettingsError) as caught:
        read_settings()
    assert f"{variable}: {told}" in str(caught.value)


@pytest.mark.parametrize("settings", CLASSES)
def test_every_setting_refuses_nonsense_or_allows_any_text(
    settings: type[EnvironmentSettings], monkeypatch: pytest.MonkeyPatch
) -> None:
    """What the table calls anything but a text, a path or an address is checked when it is read."""
    unchecked = ("any text", "a path", "an address", "1 to 100 printable", "sqlite:///", "https://")
    for each in settings_of(settings):
        if each.allowed.startswith(unchecked):
            continue
        monkeypatch.setenv(each.variable, "\x7f nonsense /")
        with pytest.raises(SettingsError, match=each.variable):
            from_environment(settings, {})
        monkeypatch.delenv(each.variable)


@pytest.mark.parametrize("settings", CLASSES)
def test_every_setting_says_what_it_means_and_gives_an_example_that_works(
    settings: type[EnvironmentSettings], monkeypatch: pytest.MonkeyPatch
) -> None:
    own = settings.model_fields
    assert [name for name, each in own.items() if not each.description] == []
    assert [name for name, each in own.items() if not example_text(each) and not is_secret(each)] == []
    for each in settings_of(settings):
        if each.example and "OIDC" not in each.variable and each.variable not in DEPENDENT:
            monkeypatch.setenv(each.variable, each.example)
            from_environment(settings, {})
            monkeypatch.delenv(each.variable)


#: Allowed only together with others.
DEPENDENT = {
    "SLA_SECURITY_PROTOCOL",
    "SLA_SASL_MECHANISM",
    "SLA_SASL_USERNAME",
    "SLA_SSL_CAFILE",
    "SLA_BOARD_PUBLIC_URL",
}


def test_the_sections_have_every_setting_once() -> None:
    listed = [each.variable for section in SECTIONS.values() for each in settings_of(section)]
    assert sorted(listed) == sorted(each.variable for one in CLASSES for each in settings_of(one))


def test_the_documented_table_is_current() -> None:
    assert generate.main(["--check"]) == 0, "run python -m cli.settings.generate"


def test_a_secret_is_read_from_a_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "key"
    file.write_text(f"{SECRET}\n", "utf-8")
    monkeypatch.setenv("SLA_PSEUDONYM_KEY_FILE", str(file))
    assert read_settings().pseudonym_key == SECRET
    monkeypatch.setenv("SLA_PSEUDONYM_KEY", "other")
    with pytest.raises(SettingsError, match="SLA_PSEUDONYM_KEY and SLA_PSEUDONYM_KEY_FILE are both set"):
        read_settings()
    monkeypatch.delenv("SLA_PSEUDONYM_KEY")
    file.unlink()
    with pytest.raises(SettingsError, match=r"SLA_PSEUDONYM_KEY_FILE: the file .*key can't be read: No such file"):
        read_settings()


def test_no_secret_is_in_an_error_or_a_representation(monkeypatch: pytest.MonkeyPatch) -> None:
    secrets = {each.variable for one in CLASSES for each in settings_of(one) if each.secret}
    assert "SLA_BOARD_DATABASE_URL" in secrets
    for name in secrets - {"SLA_SASL_PASSWORD", "SLA_BOARD_DATABASE_URL"}:
        monkeypatch.setenv(name, SECRET)
    monkeypatch.setenv("SLA_PARTITIONS", "0")
    with pytest.raises(SettingsError) as caught:
        read_settings()
    causes: list[BaseException | None] = [caught.value, caught.value.__cause__, caught.value.__context__]
    assert not any(SECRET in f"{each}{each!r}" for each in causes)
    monkeypatch.delenv("SLA_PARTITIONS")
    assert SECRET not in repr(read_settings())


def test_settings_are_plain_models() -> None:
    assert issubclass(Settings, BaseModel)
    assert allowed_values(Settings.model_fields["partitions"]) == "a whole number of partitions, at least 1"
