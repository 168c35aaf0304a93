"""AsyncAPI's own parser reads the kept document; where there is Node to run it, and npm has brought it once."""

from __future__ import annotations

import contextlib
import hashlib
import json
import re
import shutil
import subprocess
import tempfile
from pathlib import Path

import pytest

from cli.embedded_kafka.jars import default_cache
from streams.asyncapi import document

CHECK = Path(__file__).parent / "asyncapi"
FILES = ("package.json", "package-lock.json", ".npmrc", "check.mjs")
OLDEST = 20
#: What npm calls it when the registry can't be reached or doesn't let this machine in. All else is our mistake.
UNREACHABLE = {
    *("ENOTFOUND", "EAI_AGAIN", "ECONNREFUSED", "ECONNRESET", "ETIMEDOUT", "ENETUNREACH", "EHOSTUNREACH"),
    *("ERR_SOCKET_TIMEOUT", "ENOTCACHED", "E401", "E403", "E502", "E503", "E504"),
}


@pytest.fixture(scope="module")
def check() -> Path:
    """The script beside its packages: in the cache, one directory for each state of the locked files."""
    node, npm = shutil.which("node"), shutil.which("npm")
    if node is None or npm is None:
        pytest.skip("there is no Node with npm here; the official JSON Schema is checked all the same")
    found = subprocess.run([node, "--version"], capture_output=True, text=True, check=True).stdout.strip()
    if int(found.lstrip("v").partition(".")[0]) < OLDEST:
        pytest.skip(f"Node is {found} here; AsyncAPI's parser needs {OLDEST}")
    digest = hashlib.sha256(b"".join((CHECK / name).read_bytes() for name in FILES)).hexdigest()
    home = default_cache().with_name(f"asyncapi-{digest[:16]}")
    if not home.exists():
        home.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=home.parent, prefix="asyncapi-new-") as made:
            _install(npm, Path(made) / "it")
            with contextlib.suppress(OSError):  # another run was first: its packages are the same
                (Path(made) / "it").rename(home)
    return home / "check.mjs"


def _install(npm: str, directory: Path) -> None:
    directory.mkdir()
    for name in FILES:
        shutil.copy(CHECK / name, directory)
    # No patience: without a network each of 170 packages would be tried again.
    words = [npm, "ci", "--ignore-scripts", "--prefer-offline", "--fetch-retries=0", "--fetch-timeout=20000"]
    ran = subprocess.run(words, cwd=directory, capture_output=True, text=True, timeout=600, check=False)
    if ran.returncode != 0:
        told = re.search(r"code (\w+)", ran.stderr)
        if told is not None and told[1] in UNREACHABLE:
            pytest.skip(f"npm can't reach its registry ({told[1]}), so AsyncAPI's parser can't be brought here")
        pytest.fail(f"npm ci in a copy of {CHECK}: {ran.stderr.strip()}")


def test_asyncapis_own_parser_finds_it_valid_and_would_see_mistakes(check: Path, tmp_path: Path) -> None:
    broken = json.loads(document.FILE.read_text(encoding="utf-8"))
    broken["operations"]["sendAlerts"]["channel"]["$ref"] = "#/channels/alarms"
    broken["components"]["messages"]["SlaMet"]["payload"]["schema"]["fields"][0]["type"] = "strin"
    other = tmp_path / "broken.json"
    other.write_text(json.dumps(broken), encoding="utf-8")
    words = ["node", str(check), str(document.FILE), str(other)]
    ran = subprocess.run(words, capture_output=True, text=True, timeout=600, check=False)
    assert ran.returncode == 0, ran.stderr
    found, found_in_broken = json.loads(ran.stdout)
    assert found == []
    assert any("/channels/alarms" in problem for problem in found_in_broken), found_in_broken
    assert "SlaMet: undefined type name: sla.v1.strin" in found_in_broken
