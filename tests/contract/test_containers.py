"""Dockerfile and compose.yaml: they agree with the project's packages, locks and settings, and run as nobody."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path
from typing import Any

import pytest
import yaml

from connect.intake.mapping_file import load_mapping
from deploy.monitoring.rules import OF_THE_PRODUCT, RULES
from streams.configuration.variables import check_variables

ROOT = Path(__file__).resolve().parents[2]
COMPOSE: dict[str, Any] = yaml.safe_load((ROOT / "compose.yaml").read_text("utf-8"))
SERVICES: dict[str, dict[str, Any]] = COMPOSE["services"]
PRODUCT = {name: each for name, each in SERVICES.items() if each["image"].startswith("sla-clocks:")}
DOCKERFILE = (ROOT / "Dockerfile").read_text("utf-8")
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))
_PINNED = re.compile(r"^([a-z0-9._-]+)==(\S+)", re.MULTILINE)


def pinned(lock: str) -> dict[str, str]:
    return dict(_PINNED.findall((ROOT / lock).read_text("utf-8")))


# -- the image -------------------------------------------------------------------------------------------


def copied() -> set[str]:
    return {line.split()[1] for line in DOCKERFILE.splitlines() if re.match(r"COPY [^-]", line)} | {
        *("README.md", "LICENSE")
    }


def test_the_image_has_every_package_and_nothing_else_is_sent_to_its_build() -> None:
    packages = {name.rstrip("*") for name in PROJECT["tool"]["setuptools"]["packages"]["find"]["include"]}
    assert packages | {"examples", "policies", "pyproject.toml", "deploy/image/requirements.lock"} <= copied()
    assert all((ROOT / name).exists() for name in copied())
    lines = (ROOT / ".dockerignore").read_text("utf-8").splitlines()
    sent = {line[1:] for line in lines if line.startswith("!")}
    assert lines[1] == "*"
    assert {name.replace("/requirements.lock", "") for name in copied()} == sent


def test_the_image_runs_as_a_user_without_rights_and_says_how_it_is() -> None:
    stages = DOCKERFILE.split("\nFROM ")
    assert len(stages) == 3
    assert re.search(r"^ARG PYTHON=\d+\.\d+\.\d+-slim-\w+$", DOCKERFILE, re.MULTILINE)
    assert "USER 10001:10001" in stages[-1]
    assert "HEALTHCHECK" in stages[-1]
    assert "pip install" not in stages[-1]
    for install in re.findall(r"pip install (.*)", DOCKERFILE):
        assert "--no-deps" in install


def test_the_image_installs_the_tested_versions_and_no_tools_of_development() -> None:
    image, everything = pinned("deploy/image/requirements.lock"), pinned("requirements.lock")
    assert image.items() <= everything.items()
    named = [re.split(r"[>=<\[]", each)[0] for each in PROJECT["project"]["dependencies"]]
    assert set(named) | {"psycopg", "setuptools"} <= set(image)
    assert not set(image) & {"pytest", "mypy", "ruff", "hypothesis", "playwright", "schemathesis"}


# -- compose ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", PRODUCT)
def test_the_products_services_have_settings_that_exist_and_no_rights(name: str) -> None:
    service = PRODUCT[name]
    environment: dict[str, str] = service["environment"]
    check_variables(environment)
    assert all(isinstance(value, str) for value in environment.values())
    assert service["command"][0] == "sla"
    assert service["read_only"] is True
    assert service["cap_drop"] == ["ALL"]
    assert service["stop_grace_period"] == "30s"  # Docker's own ten are what a process may take
    if name != "topics":
        ports = [value for key, value in environment.items() if key.endswith("_PORT")]
        assert environment["HEALTH"] in {*ports, "8088", "8090"}  # the intake's and the board's are the defaults


@pytest.mark.parametrize("name", ["kafka", "postgres"])
def test_what_keeps_data_has_time_to_close_its_files(name: str) -> None:
    assert SERVICES[name]["stop_grace_period"] == "60s"


def test_compose_refers_to_what_exists() -> None:
    for name, service in SERVICES.items():
        assert re.search(r":v?\d", service["image"]), f"{name}: the image has no version"
        assert set(service.get("depends_on", [])) <= set(SERVICES)
        for port in service.get("ports", []):
            assert port.startswith("127.0.0.1:"), f"{name}: {port} is open to the network"
        for volume in service.get("volumes", []):
            source = volume.partition(":")[0]
            assert (ROOT / source).exists() if source.startswith("./") else source in COMPOSE["volumes"]


def test_the_broker_writes_into_its_volume() -> None:
    """Its image writes to /tmp unless it is told where."""
    volumes = [volume.partition(":")[2] for volume in SERVICES["kafka"]["volumes"]]
    assert SERVICES["kafka"]["environment"]["KAFKA_LOG_DIRS"] in volumes


def test_the_board_trusts_the_proxy_alone() -> None:
    proxy = SERVICES["proxy"]["networks"]["default"]["ipv4_address"]
    assert SERVICES["board"]["environment"]["SLA_BOARD_PROXY_NETWORKS"] == f"{proxy}/32"
    assert "ports" not in SERVICES["board"]


def test_prometheus_reads_the_ports_that_are_served(monkeypatch: pytest.MonkeyPatch) -> None:
    config = yaml.safe_load((ROOT / "deploy" / "compose" / "prometheus.yml").read_text())
    (targets,) = [each["targets"] for each in config["scrape_configs"][0]["static_configs"]]
    assert set(targets) == {f"{name}:{PRODUCT[name]['environment']['HEALTH']}" for name in PRODUCT if name != "topics"}
    for name, value in SERVICES["intake"]["environment"].items():
        monkeypatch.setenv(name, value)
    assert set(load_mapping(ROOT / "deploy" / "compose" / "intake.yaml")) == {"prometheus", "services"}
    alertmanager = yaml.safe_load((ROOT / "deploy" / "compose" / "alertmanager.yml").read_text())
    (receiver,) = (each for each in alertmanager["receivers"] if each["name"] == alertmanager["route"]["receiver"])
    webhook = receiver["webhook_configs"][0]
    credentials = webhook["http_config"]["authorization"]["credentials"]
    assert credentials == SERVICES["intake"]["environment"]["SLA_INTAKE_PROMETHEUS_TOKEN"]
    assert webhook["url"] == f"http://intake:{SERVICES['intake']['environment']['HEALTH']}/v1/hooks/prometheus"


def test_prometheus_and_grafana_read_the_products_rules_and_dashboards() -> None:
    mounted = {
        service: dict(reversed(volume.split(":")[:2]) for volume in SERVICES[service]["volumes"])
        for service in ("prometheus", "grafana")
    }
    config = yaml.safe_load((ROOT / "deploy" / "compose" / "prometheus.yml").read_text("utf-8"))
    (rules,) = config["rule_files"]
    assert mounted["prometheus"][rules] == "./deploy/monitoring/rules.yaml"
    provisioned = yaml.safe_load((ROOT / "deploy" / "compose" / "grafana-dashboards.yml").read_text("utf-8"))
    (provider,) = provisioned["providers"]
    folder = ROOT / mounted["grafana"][provider["options"]["path"]]
    assert {path.name for path in folder.iterdir()} == {"sla-business.json", "sla-operations.json"}


def test_alerts_about_the_product_itself_do_not_become_incidents() -> None:
    """A critical one would be an outage of all tenants, with credits."""
    alertmanager = yaml.safe_load((ROOT / "deploy" / "compose" / "alertmanager.yml").read_text("utf-8"))
    (route,) = alertmanager["route"]["routes"]
    assert route["matchers"] == [f'{name}="{value}"' for name, value in OF_THE_PRODUCT.items()]
    (receiver,) = (each for each in alertmanager["receivers"] if each["name"] == route["receiver"])
    assert receiver == {"name": "operators"}
    assert all(rule.as_data()["labels"].items() >= OF_THE_PRODUCT.items() for rule in RULES)
