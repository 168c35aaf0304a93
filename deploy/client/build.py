"""Builds the wheel `sla-clocks-client`: `connect.client` and what it imports, without Faust and without Java.

.venv/bin/python deploy/client/build.py dist
"""

from __future__ import annotations

import shutil
import subprocess
import sys
import tempfile
import tomllib
from importlib.metadata import packages_distributions
from pathlib import Path
from typing import Any

import grimp

from streams.kafka.patches import KAFKA_PYTHON

ROOT = Path(__file__).resolve().parents[2]
ENTRY = "connect.client"
PACKAGES = ("connect", "streams", "schemas")
#: Distributions that the client needs; a test compares them with what its modules import.
DEPENDENCIES = ("fastavro", "kafka-python", "prometheus-client", "pydantic", "structlog")
_DATA = {"schemas": ("avro/*.avsc",)}
_PROJECT = """\
[build-system]
requires = ["setuptools>=77"]
build-backend = "setuptools.build_meta"

[project]
name = "sla-clocks-client"
version = "{version}"
description = "Client of SLA clocks: publishes incidents and contract facts, reads alerts, states and credits."
readme = "README.md"
requires-python = "{python}"
license = "Apache-2.0"
dependencies = [{dependencies}]

[tool.setuptools.packages.find]

[tool.setuptools.package-data]
schemas = ["avro/*.avsc"]
"""


def _imports(*, include_external_packages: bool = False) -> grimp.ImportGraph:
    # Without the cache: a stale one would leave a module out of the wheel.
    return grimp.build_graph(
        *PACKAGES,
        include_external_packages=include_external_packages,
        exclude_type_checking_imports=True,
        cache_dir=None,
    )


def modules() -> set[str]:
    """The modules that the client imports, also those that it imports when they are first needed."""
    graph = _imports()
    found = {ENTRY} | graph.find_descendants(ENTRY)
    # Patches are imported by name, where their library has the version that they are for.
    found |= {f"streams.kafka.patches.{KAFKA_PYTHON.package}.{patch}" for patch in KAFKA_PYTHON.patches}
    waiting = list(found)
    while waiting:
        imported = graph.find_modules_directly_imported_by(waiting.pop())
        waiting += imported - found
        found |= imported
    for name in list(found):
        parts = name.split(".")
        found |= {".".join(parts[:length]) for length in range(1, len(parts))}
    return found


def imported_distributions() -> set[str]:
    """The distributions that those modules import, by name."""
    graph = _imports(include_external_packages=True)
    own = modules()
    outside = {
        name.partition(".")[0]
        for module in own
        for name in graph.find_modules_directly_imported_by(module)
        if name not in own and name.partition(".")[0] not in sys.stdlib_module_names
    }
    by_package = packages_distributions()
    return {by_package[name][0].lower().replace("_", "-") for name in outside - set(PACKAGES)}


def build(output: Path) -> Path:
    """Build the wheel into a folder; returns its path."""
    project: dict[str, Any] = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
    with tempfile.TemporaryDirectory() as place:
        tree = Path(place)
        for name in modules():
            source = ROOT.joinpath(*name.split("."))
            source = source / "__init__.py" if source.is_dir() else source.with_suffix(".py")
            _copy(source, tree)
        for package, patterns in _DATA.items():
            for pattern in patterns:
                for source in (ROOT / package).glob(pattern):
                    _copy(source, tree)
        shutil.copy(ROOT / "docs" / "client.md", tree / "README.md")
        shutil.copy(ROOT / "LICENSE", tree)
        text = _PROJECT.format(
            version=project["version"],
            python=project["requires-python"],
            dependencies=", ".join(f'"{each}"' for each in _requirements(project["dependencies"])),
        )
        (tree / "pyproject.toml").write_text(text, "utf-8")
        wheel = [sys.executable, "-m", "pip", "wheel", "--quiet", "--disable-pip-version-check", "--no-deps"]
        subprocess.run([*wheel, "--no-build-isolation", "--wheel-dir", str(output), str(tree)], check=True)
    (built,) = output.glob(f"sla_clocks_client-{project['version']}-*.whl")
    return built


def _copy(source: Path, tree: Path) -> None:
    target = tree / source.relative_to(ROOT)
    target.parent.mkdir(parents=True, exist_ok=True)
    shutil.copy(source, target)


def _requirements(product: list[str]) -> list[str]:
    """The product's own requirements of the client's dependencies."""
    named = {each.partition(">")[0].partition("=")[0].partition("[")[0]: each for each in product}
    return [named[each] for each in DEPENDENCIES]


if __name__ == "__main__":
    print(build(Path(sys.argv[1] if len(sys.argv) > 1 else "dist")))
