"""The overlays as kustomize builds them: complete, hardened, closed but for what is named, and agreeing with the tables
of topics, access and settings. Without kustomize (or kubectl, which has it) the builds are skipped."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import kubernetes_validate
import pytest
import yaml
from typer.testing import CliRunner

from cli.main import app
from streams.access_rules import ROLES
from streams.configuration.variables import check_variables

K8S = Path(__file__).resolve().parents[2] / "deploy" / "k8s"
KUBERNETES = "1.37"
OVERLAYS = ("dev", "prod")
#: Resources of operators, whose schemas Kubernetes does not have.
CUSTOM = {
    "kafka.strimzi.io/v1": {"Kafka", "KafkaNodePool", "KafkaTopic", "KafkaUser"},
    "keda.sh/v1alpha1": {"ScaledObject", "TriggerAuthentication"},
    "monitoring.coreos.com/v1": {"PodMonitor", "PrometheusRule"},
}


@cache
def built(path: str) -> list[dict[str, Any]]:
    """What kustomize makes of a folder."""
    command = ["kustomize", "build"] if shutil.which("kustomize") else ["kubectl", "kustomize"]
    if shutil.which(command[0]) is None:
        pytest.skip("neither kustomize nor kubectl is installed")
    done = subprocess.run([*command, str(K8S / path)], capture_output=True, text=True, check=False, timeout=600)
    assert done.returncode == 0, done.stderr
    assert "Warning" not in done.stderr, done.stderr
    return [each for each in yaml.safe_load_all(done.stdout) if each]


def of_kind(path: str, *kinds: str) -> list[dict[str, Any]]:
    return [each for each in built(path) if each["kind"] in kinds]


def pod_of(workload: Mapping[str, Any]) -> dict[str, Any]:
    pod: dict[str, Any] = workload["spec"]["template"]
    return pod


@pytest.mark.parametrize("path", [".", *(f"overlays/{name}" for name in OVERLAYS)])
def test_every_resource_is_strictly_valid(path: str) -> None:
    for each in built(path):
        if each["apiVersion"] in CUSTOM:
            assert each["kind"] in CUSTOM[each["apiVersion"]]
        else:
            assert kubernetes_validate.validate(each, KUBERNETES, strict=True).startswith(KUBERNETES)


@pytest.mark.parametrize("path", [f"overlays/{name}" for name in OVERLAYS])
def test_the_namespace_enforces_what_the_pods_keep_to(path: str) -> None:
    (namespace,) = of_kind(path, "Namespace")
    assert namespace["metadata"]["labels"]["pod-security.kubernetes.io/enforce"] == "restricted"
    for workload in of_kind(path, "Deployment", "Job"):
        pod = pod_of(workload)["spec"]
        assert workload["metadata"]["namespace"] == namespace["metadata"]["name"]
        assert pod["automountServiceAccountToken"] is False
        assert pod["securityContext"]["runAsNonRoot"] is True
        assert pod["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
        for each in pod["containers"]:
            assert each["securityContext"] == {
                "allowPrivilegeEscalation": False,
                "readOnlyRootFilesystem": True,
                "capabilities": {"drop": ["ALL"]},
            }
            assert "memory" in each["resources"]["limits"]
            assert ":" in each["image"]
            assert not each["image"].endswith(":latest")


@pytest.mark.parametrize("path", [f"overlays/{name}" for name in OVERLAYS])
def test_nothing_is_open_but_what_a_policy_names(path: str) -> None:
    """The default policy selects every pod, and each port that a pod listens at is one that some policy opens."""
    policies = of_kind(path, "NetworkPolicy")
    default = next(each for each in policies if each["metadata"]["name"] == "sla-default")
    selected = default["spec"]["podSelector"]["matchLabels"]
    assert default["spec"]["policyTypes"] == ["Ingress", "Egress"]
    assert "ingress" not in default["spec"]
    for workload in of_kind(path, "Deployment", "Job"):
        labels = pod_of(workload)["metadata"]["labels"]
        assert selected.items() <= labels.items(), workload["metadata"]["name"]
        opened = {
            port["port"]
            for policy in policies
            if policy["spec"]["podSelector"].get("matchLabels", {}).items() <= labels.items()
            for rule in policy["spec"].get("ingress", [])
            for port in rule["ports"]
        }
        for each in pod_of(workload)["spec"]["containers"]:
            assert {port["containerPort"] for port in each.get("ports", [])} <= opened


@pytest.mark.parametrize("path", [f"overlays/{name}" for name in OVERLAYS])
def test_selectors_references_and_settings_hold_together(path: str) -> None:
    workloads = of_kind(path, "Deployment", "Job")
    labels = [pod_of(each)["metadata"]["labels"] for each in workloads]
    for each in of_kind(path, "Service"):
        assert any(each["spec"]["selector"].items() <= these.items() for these in labels)
    for each in of_kind(path, "PodDisruptionBudget"):
        assert any(each["spec"]["selector"]["matchLabels"].items() <= these.items() for these in labels)
    config_maps = {each["metadata"]["name"]: each.get("data", {}) for each in of_kind(path, "ConfigMap")}
    for workload in workloads:
        pod = pod_of(workload)["spec"]
        mounted = {each["configMap"]["name"] for each in pod.get("volumes", []) if "configMap" in each}
        assert mounted <= set(config_maps)
        for each in pod["containers"]:
            environment = {entry["name"]: entry["value"] for entry in each.get("env", [])}
            for source in each.get("envFrom", []):
                if "configMapRef" in source:
                    environment |= config_maps[source["configMapRef"]["name"]]
            check_variables(environment)


def test_the_product_in_production_signs_in_to_kafka_by_certificates() -> None:
    users = {each["metadata"]["name"] for each in of_kind("overlays/prod", "KafkaUser")}
    assert users == {f"sla-{role}" for role in ROLES}
    deployments = of_kind("overlays/prod", "Deployment")
    assert {each["metadata"]["name"] for each in deployments} == {"sla-worker", "sla-intake", "sla-notify", "sla-board"}
    seen = set()
    for each in deployments:
        pod = pod_of(each)["spec"]
        secrets = {volume["secret"]["secretName"] for volume in pod["volumes"] if "secret" in volume}
        (user,) = secrets - {"kafka-cluster-ca-cert"}
        assert user in users
        seen.add(user)
        mounts = {mount["mountPath"] for mount in pod["containers"][0]["volumeMounts"]}
        assert {"/etc/sla/kafka-user", "/etc/sla/kafka-ca"} <= mounts
    assert len(seen) == len(deployments)
    assert of_kind("overlays/prod", "Job") == []  # Strimzi's operator makes the topics


def test_topics_and_users_are_those_of_the_tables() -> None:
    """How to make them anew stands in deploy/k8s/README.md."""
    for file, words in (
        ("topics.yaml", ["topics", "kafkatopics", "--replication", "3"]),
        ("users.yaml", ["topics", "acls", "--format", "kafkauser"]),
    ):
        result = CliRunner().invoke(app, words)
        assert result.exit_code == 0, result.stderr
        assert (K8S / "components" / "strimzi" / file).read_text() == result.stdout, f"{file} is out of date"


def test_production_has_alert_rules_and_dashboards() -> None:
    (rules,) = of_kind("overlays/prod", "PrometheusRule")
    assert rules["spec"]["groups"]
    (dashboards,) = (
        each
        for each in of_kind("overlays/prod", "ConfigMap")
        if each["metadata"].get("labels", {}).get("grafana_dashboard") == "1"
    )
    assert {json.loads(text)["uid"] for text in dashboards["data"].values()} == {"sla-business", "sla-operations"}


def test_the_component_for_traces_sets_the_address_and_opens_its_port(tmp_path: Path) -> None:
    paths = {name: os.path.relpath(K8S / name, tmp_path.resolve()) for name in ("base", "components/tracing")}
    overlay = {"resources": [paths["base"]], "components": [paths["components/tracing"]]}
    (tmp_path / "kustomization.yaml").write_text(yaml.safe_dump(overlay))
    path = str(tmp_path.resolve())
    settings = next(each for each in of_kind(path, "ConfigMap") if each["metadata"]["name"].startswith("sla-settings"))
    address = urlsplit(settings["data"]["OTEL_EXPORTER_OTLP_ENDPOINT"])
    policy = next(each for each in of_kind(path, "NetworkPolicy") if each["metadata"]["name"] == "sla-tracing")
    kubernetes_validate.validate(policy, KUBERNETES, strict=True)
    (rule,) = policy["spec"]["egress"]
    assert [port["port"] for port in rule["ports"]] == [address.port]
    namespaces = [each["namespaceSelector"]["matchLabels"]["kubernetes.io/metadata.name"] for each in rule["to"]]
    assert namespaces == [str(address.hostname).partition(".")[2]]
