"""The manifests at a real kube-apiserver with etcd: applied server-side with strict validation, as a dry run, in a
namespace that warns of what restricted pod security forbids.

Both programs are built from Go's module proxy (`go.mod`, `go.sum` beside this file), which takes ten minutes the first
time. Resources of operators are left out: their definitions come with the operators.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest
import yaml

from cli.embedded_kafka.jars import default_cache
from cli.embedded_kafka.node_files import HOST, free_port

HERE = Path(__file__).parent
K8S = HERE.parents[1] / "deploy" / "k8s"
_BUILD_S, _READY_S = 3000, 120
_OPERATORS = ("kafka.strimzi.io/", "keda.sh/", "monitoring.coreos.com/")
#: What a pod must not be: its warning shows that the namespace's level is looked at.
_ROOT = {
    "apiVersion": "batch/v1",
    "kind": "Job",
    "metadata": {"name": "root"},
    "spec": {"template": {"spec": {"restartPolicy": "Never", "containers": [{"name": "root", "image": "busybox:1"}]}}},
}

Kubectl = Callable[..., subprocess.CompletedProcess[str]]


def built(name: str) -> Path:
    """A program of a folder beside this file."""
    program = default_cache().parent / "go" / name
    if not program.exists():
        program.parent.mkdir(parents=True, exist_ok=True)
        environment = {**os.environ, "GOFLAGS": "-mod=readonly"}
        done = subprocess.run(
            ["go", "build", "-o", str(program), "."],
            cwd=HERE / name, env=environment, capture_output=True, text=True, check=False, timeout=_BUILD_S,
        )  # fmt: skip
        if done.returncode and "proxy" in done.stderr:
            pytest.skip(f"Go's module proxy does not serve it: {done.stderr.splitlines()[-1]}")
        assert done.returncode == 0, done.stderr
    return program


@pytest.fixture(scope="module")
def kubectl(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Kubectl]:
    """Runs kubectl as administrator of a server of its own."""
    for program in ("go", "kubectl", "openssl"):
        if shutil.which(program) is None:
            pytest.skip(f"{program} is not installed")
    folder, etcd, port = tmp_path_factory.mktemp("kube"), free_port(), free_port()
    subprocess.run(["openssl", "genrsa", "-out", folder / "sa.key", "2048"], check=True, capture_output=True)
    (folder / "tokens.csv").write_text("token,admin,1,system:masters\n")
    store = f"http://{HOST}:{etcd}"
    peers = f"http://{HOST}:{free_port()}"
    programs = {
        "etcd": [
            *("--data-dir", "data", "--listen-client-urls", store, "--advertise-client-urls", store),
            *("--listen-peer-urls", peers),
        ],
        "kube_apiserver": [
            *(f"--etcd-servers={store}", "--cert-dir=certs", f"--secure-port={port}", f"--bind-address={HOST}"),
            *("--service-account-key-file=sa.key", "--service-account-signing-key-file=sa.key"),
            *("--service-account-issuer=https://kubernetes.default.svc", "--authorization-mode=RBAC"),
            *("--token-auth-file=tokens.csv", "--service-cluster-ip-range=10.0.0.0/24"),
        ],
    }
    words = ["kubectl", "--server", f"https://{HOST}:{port}", "--insecure-skip-tls-verify", "--token", "token"]

    def run(*more: str, stdin: str | None = None) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [*words, *more], input=stdin, capture_output=True, text=True, check=False, timeout=120, cwd=folder
        )

    with ExitStack() as ending:
        for name, options in programs.items():
            log = ending.enter_context((folder / f"{name}.log").open("wb"))
            process = subprocess.Popen([str(built(name)), *options], cwd=folder, stdout=log, stderr=log)
            ending.callback(process.wait, 30)
            ending.callback(process.kill)
        until = time.monotonic() + _READY_S
        while run("get", "--raw", "/readyz").stdout != "ok":
            assert time.monotonic() < until, (folder / "kube_apiserver.log").read_text()[-4000:]
            time.sleep(0.5)
        yield run


@pytest.mark.parametrize("overlay", ["dev", "prod"])
def test_the_server_accepts_every_manifest_without_a_warning(kubectl: Kubectl, overlay: str) -> None:
    command = ["kustomize", "build"] if shutil.which("kustomize") else ["kubectl", "kustomize"]
    made = subprocess.run([*command, str(K8S / "overlays" / overlay)], capture_output=True, text=True, check=True)
    resources = [each for each in yaml.safe_load_all(made.stdout) if not each["apiVersion"].startswith(_OPERATORS)]
    (namespace,) = [each for each in resources if each["kind"] == "Namespace"]
    assert kubectl("create", "-f", "-", stdin=yaml.safe_dump(namespace)).returncode == 0
    found = kubectl(
        *("apply", "--server-side", "--dry-run=server", "--validate=strict", "-f", "-"),
        stdin=yaml.safe_dump_all(resources),
    )
    assert (found.returncode, found.stderr) == (0, "")
    assert len(found.stdout.splitlines()) == len(resources)
    root = kubectl(
        *("create", "--dry-run=server", "--namespace", namespace["metadata"]["name"], "-f", "-"),
        stdin=yaml.safe_dump(_ROOT),
    )
    assert "would violate PodSecurity" in root.stderr
