"""The Kubernetes manifests: strictly valid, complete, hardened, and speaking of settings and paths that exist."""

import re
from pathlib import Path
from typing import Any

import kubernetes_validate
import pytest
import yaml
from prometheus_client import CollectorRegistry

from connect.intake.mapping_file import load_mapping
from connect.intake.settings import IntakeSettings
from connect.notify.routing.file import load_routing
from connect.notify.settings import NotifySettings
from streams.configuration.variables import known_variables
from streams.policy.load import load_policies
from streams.service_process import health_routes
from streams.settings import Settings

ROOT = Path(__file__).resolve().parents[2]
K8S = ROOT / "deploy" / "k8s"
BASE, COMPONENTS_AT = K8S / "base", K8S / "components"
KUBERNETES = "1.37"
KUSTOMIZATION = yaml.safe_load((BASE / "kustomization.yaml").read_text())
FILES = sorted(path.name for path in BASE.glob("*.yaml") if path.name != "kustomization.yaml")
MANIFESTS: list[dict[str, Any]] = [
    document for name in FILES for document in yaml.safe_load_all((BASE / name).read_text()) if document
]
NAMED = {(each["kind"], each["metadata"]["name"]): each for each in MANIFESTS}
WORKER = NAMED["Deployment", "sla-worker"]
PODS = {each["kind"]: each["spec"]["template"] for each in MANIFESTS if "template" in each.get("spec", {})}
SETTINGS = dict(
    line.split("=", 1) for line in (BASE / "settings.env").read_text().splitlines() if line and not line.startswith("#")
)
#: What worker, intake and notifier all serve.
HEALTH_PATHS = {route.path for route in health_routes(CollectorRegistry(), lambda: [])}


def container(kind: str) -> dict[str, Any]:
    (only,) = PODS[kind]["spec"]["containers"]
    return only


@pytest.mark.parametrize("manifest", MANIFESTS, ids=lambda each: f"{each['kind']}-{each['metadata']['name']}")
def test_strictly_valid(manifest: dict[str, Any]) -> None:
    assert kubernetes_validate.validate(manifest, KUBERNETES, strict=True).startswith(KUBERNETES)


def test_the_validation_is_strict() -> None:
    with pytest.raises(kubernetes_validate.ValidationError):
        kubernetes_validate.validate({**WORKER, "spek": {}}, KUBERNETES, strict=True)


def test_every_file_is_listed_and_every_listed_file_exists() -> None:
    assert sorted(KUSTOMIZATION["resources"]) == FILES
    generated = [name for each in KUSTOMIZATION["configMapGenerator"] for name in each.get("envs", [])]
    generated += [
        name.partition("=")[2] for each in KUSTOMIZATION["configMapGenerator"] for name in each.get("files", [])
    ]
    files = (path.relative_to(BASE) for path in BASE.rglob("*") if path.is_file())
    assert {str(path) for path in files} == {*generated, *FILES, "kustomization.yaml"}


def test_referenced_objects_are_made_here_or_optional() -> None:
    config_maps = {each["name"] for each in KUSTOMIZATION["configMapGenerator"]}
    for pod in PODS.values():
        spec = pod["spec"]
        assert ("ServiceAccount", spec["serviceAccountName"]) in NAMED
        sources = [source for each in spec["containers"] for source in each["envFrom"]]
        assert {each["configMapRef"]["name"] for each in sources if "configMapRef" in each} <= config_maps
        assert all(each["secretRef"]["optional"] for each in sources if "secretRef" in each)
        assert {each["configMap"]["name"] for each in spec.get("volumes", []) if "configMap" in each} <= config_maps


def test_images_are_placeholders_that_kustomize_sets() -> None:
    assert {container(kind)["image"] for kind in PODS} == {each["name"] for each in KUSTOMIZATION["images"]}


def test_selectors_find_the_workers() -> None:
    labels = PODS["Deployment"]["metadata"]["labels"].items()
    budget = NAMED["PodDisruptionBudget", "sla-worker"]
    (spread,) = PODS["Deployment"]["spec"]["topologySpreadConstraints"]
    for selector in (WORKER["spec"]["selector"], budget["spec"]["selector"], spread["labelSelector"]):
        assert selector["matchLabels"].items() <= labels


def test_settings_are_real_and_accepted(monkeypatch: pytest.MonkeyPatch) -> None:
    known = {f"SLA_{name.upper()}" for name in Settings.model_fields}
    assert set(SETTINGS) <= known
    known = known_variables()
    spoken_of = set(re.findall(r"SLA_[A-Z_]+", (K8S / "README.md").read_text() + (BASE / "settings.env").read_text()))
    assert spoken_of <= known
    for name, value in SETTINGS.items():
        monkeypatch.setenv(name, value)
    settings = Settings()
    assert settings.bootstrap() == (SETTINGS["SLA_BROKERS"],)
    assert WORKER["spec"]["replicas"] <= settings.partitions


def test_probes_ask_where_the_worker_answers() -> None:
    worker = container("Deployment")
    ports = {each["name"]: each["containerPort"] for each in worker["ports"]}
    paths = {}
    for probe in ("startupProbe", "livenessProbe", "readinessProbe"):
        ask = worker[probe]["httpGet"]
        assert ports[ask["port"]] == int(SETTINGS["SLA_HEALTH_PORT"])
        paths[probe] = ask["path"]
    annotations = PODS["Deployment"]["metadata"]["annotations"]
    assert annotations["prometheus.io/port"] == SETTINGS["SLA_HEALTH_PORT"]
    assert annotations["prometheus.io/path"] == "/metrics"
    assert {*paths.values(), annotations["prometheus.io/path"]} <= HEALTH_PATHS
    assert paths == {"startupProbe": "/live", "livenessProbe": "/live", "readinessProbe": "/ready"}
    assert SETTINGS["SLA_HEALTH_HOST"] == "0.0.0.0"


@pytest.mark.parametrize("kind", sorted(PODS))
def test_pods_are_hardened(kind: str) -> None:
    spec, only = PODS[kind]["spec"], container(kind)
    assert spec["automountServiceAccountToken"] is False
    assert spec["securityContext"]["runAsNonRoot"] is True
    assert spec["securityContext"]["runAsUser"] > 0
    assert spec["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
    assert only["securityContext"] == {
        "allowPrivilegeEscalation": False,
        "readOnlyRootFilesystem": True,
        "capabilities": {"drop": ["ALL"]},
    }
    assert {"cpu", "memory"} <= set(only["resources"]["requests"])
    assert "memory" in only["resources"]["limits"]


def test_workers_may_finish_their_transaction_and_write_nowhere_but_scratch() -> None:
    spec, worker = PODS["Deployment"]["spec"], container("Deployment")
    assert spec["terminationGracePeriodSeconds"] == 30
    writable = {each["name"] for each in spec["volumes"] if "emptyDir" in each}
    mounts = {each["name"]: each for each in worker["volumeMounts"]}
    assert {name for name, mount in mounts.items() if not mount.get("readOnly")} == writable
    assert mounts["policies"]["mountPath"] == SETTINGS["SLA_POLICIES"]


def test_policies_are_the_projects_and_load_as_kubernetes_mounts_them(tmp_path: Path) -> None:
    (generator,) = [each for each in KUSTOMIZATION["configMapGenerator"] if each["name"] == "sla-policies"]
    keys = dict(each.split("=") for each in generator["files"])
    (volume,) = [each["configMap"] for each in PODS["Deployment"]["spec"]["volumes"] if "configMap" in each]
    assert {each["key"] for each in volume["items"]} == set(keys)
    data = tmp_path / "..2026_01_01"
    for item in volume["items"]:
        source = BASE / keys[item["key"]]
        assert source.read_bytes() == (ROOT / keys[item["key"]]).read_bytes()
        target = data / item["path"]
        target.parent.mkdir(parents=True)
        target.write_bytes(source.read_bytes())
    (tmp_path / "..data").symlink_to(data.name)
    for child in data.iterdir():
        (tmp_path / child.name).symlink_to(f"..data/{child.name}")
    loaded = load_policies(tmp_path)
    assert [policy.name for policy in loaded] == [SETTINGS["SLA_DEFAULT_POLICY"]]


# -- the intake and the notifier, components of their own --------------------------------------------------------------

INTAKE, NOTIFY, BOARD = (COMPONENTS_AT / name for name in ("intake", "notify", "board"))
DEPLOYMENT, SERVICE = yaml.safe_load_all((INTAKE / "intake.yaml").read_text())
NOTIFIER = yaml.safe_load((NOTIFY / "notify.yaml").read_text())
BOARD_DEPLOYMENT = next(yaml.safe_load_all((BOARD / "board.yaml").read_text()))
COMPONENTS = {"intake": DEPLOYMENT, "notify": NOTIFIER, "board": BOARD_DEPLOYMENT}


@pytest.mark.parametrize("manifest", [DEPLOYMENT, SERVICE, NOTIFIER], ids=["intake", "service", "notify"])
def test_the_components_manifests_are_strictly_valid(manifest: dict[str, Any]) -> None:
    assert kubernetes_validate.validate(manifest, KUBERNETES, strict=True).startswith(KUBERNETES)


@pytest.mark.parametrize("name", COMPONENTS)
def test_components_are_as_hardened_as_the_worker_and_run_as_it(name: str) -> None:
    spec, worker = COMPONENTS[name]["spec"]["template"]["spec"], PODS["Deployment"]["spec"]
    for key in ("serviceAccountName", "automountServiceAccountToken", "securityContext"):
        assert spec[key] == worker[key]
    (only,) = spec["containers"]
    assert only["securityContext"] == container("Deployment")["securityContext"]
    assert only["image"] == container("Deployment")["image"]
    listed = yaml.safe_load((COMPONENTS_AT / name / "kustomization.yaml").read_text())
    made_of = (
        file for each in listed["configMapGenerator"] for file in (*each.get("files", ()), *each.get("envs", ()))
    )
    files = {*listed["resources"], *made_of}
    assert {path.name for path in (COMPONENTS_AT / name).iterdir()} == {"kustomization.yaml", *files}


@pytest.mark.parametrize(
    ("name", "settings", "file"),
    [("intake", IntakeSettings, "SLA_INTAKE_MAPPING"), ("notify", NotifySettings, "SLA_NOTIFY_ROUTES")],
)
def test_components_are_asked_where_they_answer(name: str, settings: Any, file: str) -> None:
    (only,) = COMPONENTS[name]["spec"]["template"]["spec"]["containers"]
    given = {each["name"]: each["value"] for each in only["env"]}
    assert set(given) <= {f"SLA_{name.upper()}_{field.upper()}" for field in settings.model_fields}
    (port,) = only["ports"]
    assert str(port["containerPort"]) == given[f"SLA_{name.upper()}_PORT"]
    for probe in ("livenessProbe", "readinessProbe"):
        assert only[probe]["httpGet"]["port"] == port["name"]
        assert only[probe]["httpGet"]["path"] in HEALTH_PATHS
    mounted = Path(given[file])
    assert str(mounted.parent) in [each["mountPath"] for each in only["volumeMounts"] if each.get("readOnly")]
    assert (COMPONENTS_AT / name / mounted.name).is_file()


def test_the_components_files_can_be_used() -> None:
    assert SERVICE["spec"]["selector"].items() <= DEPLOYMENT["spec"]["template"]["metadata"]["labels"].items()
    assert set(load_mapping(INTAKE / "mapping.yaml")) == {"services"}
    assert set(load_routing(NOTIFY / "routing.yaml").destinations) == {"on-call"}


#: Every manifest of the base and of the components.
MANIFESTS = [
    each
    for path in sorted((*BASE.glob("*.yaml"), *COMPONENTS_AT.rglob("*.yaml")))
    for each in yaml.safe_load_all(path.read_text())
    if each and "kind" in each
]


def selected(kind: str) -> dict[str, dict[str, Any]]:
    """Manifests of a kind, by the pods that they select."""
    found = [each for each in MANIFESTS if each["kind"] == kind]
    selectors = [each["spec"]["selector"] for each in found]
    names = [each.get("matchLabels", each)["app.kubernetes.io/name"] for each in selectors]
    return dict(zip(names, found, strict=True))


@pytest.mark.parametrize("name", sorted(selected("Deployment")))
def test_pods_start_drain_and_end_in_order(name: str) -> None:
    deployment = selected("Deployment")[name]
    spec = deployment["spec"]["template"]["spec"]
    (only,) = spec["containers"]
    assert {"startupProbe", "livenessProbe", "readinessProbe"} <= set(only)
    assert only["startupProbe"]["httpGet"] == only["livenessProbe"]["httpGet"]
    if deployment["spec"]["replicas"] > 1:
        (spread,) = spec["topologySpreadConstraints"]
        assert spread["labelSelector"] == deployment["spec"]["selector"]
        assert selected("PodDisruptionBudget")[name]["spec"]["maxUnavailable"] == 1
    if only["image"] == "sla-clocks":
        sleep = only["lifecycle"]["preStop"]["exec"]["command"] if "lifecycle" in only else ["sleep", "0"]
        assert (int(sleep[1]) > 0) == (name in selected("Service"))  # a Service may send requests for a moment
        assert int(sleep[1]) + 10 < spec["terminationGracePeriodSeconds"]  # each process ends within ten seconds
