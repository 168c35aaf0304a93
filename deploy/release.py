"""Cuts a release: `make release VERSION=0.2.0`. Nothing leaves this machine.

It writes the version, the changelog's section and what is generated from the version, commits, builds both wheels twice
from the archive of that commit, and tags it if both builds have the same digests. From the tag on `python -m
schemas.gate` refuses changes of its schemas. If anything fails before the commit, `git restore .` undoes it; afterwards
`git reset --hard HEAD~1` does.
"""

from __future__ import annotations

import hashlib
import os
import re
import subprocess
import sys
import tarfile
import tempfile
from datetime import UTC, datetime
from pathlib import Path

from streams.time_source import SystemTimeSource

ROOT = Path(__file__).resolve().parents[1]
_VERSION = re.compile(r"(0|[1-9]\d*)\.(0|[1-9]\d*)\.(0|[1-9]\d*)")
#: Where the version stands, as a pattern with the version in its place.
PLACES = {
    "pyproject.toml": '\nversion = "{}"\n',
    "Dockerfile": "-t sla-clocks:{} ",
    "compose.yaml": "image: sla-clocks:{}\n",
    "deploy/k8s/base/kustomization.yaml": 'newTag: "{}"',
    "deploy/k8s/overlays/dev/kustomization.yaml": 'newTag: "{}"',
    "deploy/k8s/overlays/prod/kustomization.yaml": 'newTag: "{}"',
}
_UNRELEASED = "## [Unreleased]\n"


class Refused(Exception):  # noqa: N818 -- it names what happened
    """Why there can be no release; one line."""


def with_version(text: str, pattern: str, before: str, after: str) -> str:
    """The text of a file with the new version in its one place. Raises Refused where it does not stand."""
    old, new = pattern.format(before), pattern.format(after)
    if text.count(old) != 1:
        raise Refused(f"expected {old.strip()!r} once, found it {text.count(old)} times")
    return text.replace(old, new)


def cut(changelog: str, version: str, day: str) -> str:
    """The changelog with what was unreleased under the version and its day. Raises Refused when there is nothing."""
    head, found, rest = changelog.partition(_UNRELEASED)
    if not found:
        raise Refused(f"CHANGELOG.md has no line {_UNRELEASED.strip()!r}")
    if not re.search(r"^- ", rest.partition("\n## [")[0], re.MULTILINE):
        raise Refused("CHANGELOG.md has nothing under Unreleased")
    return f"{head}{_UNRELEASED}\n## [{version}] - {day}\n{rest}"


def check_version(version: str, before: str) -> None:
    """Raises Refused for a version that is none, or not above the present one."""
    if not _VERSION.fullmatch(version):
        raise Refused(f"VERSION={version}: write three numbers, such as 0.2.0")
    if _numbers(version) <= _numbers(before):
        raise Refused(f"VERSION={version} is not above the present {before}")


def check(version: str, today: str) -> dict[str, str]:
    """The files that name the version, by path, as the release has them; nothing is written. Raises Refused."""
    before = _present_version()
    check_version(version, before)
    tag = f"v{version}"
    if _git("status", "--porcelain"):
        raise Refused("the work tree has changes: commit or stash them first")
    if _git("tag", "--list", tag):
        raise Refused(f"the tag {tag} exists")
    texts = {name: with_version(_text(name), pattern, before, version) for name, pattern in PLACES.items()}
    return {**texts, "CHANGELOG.md": cut(_text("CHANGELOG.md"), version, today)}


def release(version: str, today: str) -> None:
    """Make the commit, the wheels in dist/ and the tag. Raises Refused, CalledProcessError."""
    for name, text in check(version, today).items():
        (ROOT / name).write_text(text, "utf-8")
    tag = f"v{version}"
    # What is generated names the version of the installed package.
    pip = [sys.executable, "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
    _run([*pip, "--no-deps", "--no-build-isolation", "--editable", "."])
    _run([sys.executable, "-m", "streams.asyncapi.document"])
    _git("commit", "--quiet", "--all", "--message", f"Release {version}")
    digests = build_twice("HEAD", ROOT / "dist")
    _git("tag", "--annotate", tag, "--message", f"Release {version}")
    for name, digest in digests.items():
        print(f"{digest}  dist/{name}")
    _run([sys.executable, "-m", "schemas.gate"])
    print(
        f"release: {tag} is made here. Publish it: git push --atomic origin HEAD {tag}; undo it: git tag -d {tag}, then"
    )
    print("git reset --hard HEAD~1")


def build_twice(revision: str, output: Path) -> dict[str, str]:
    """Build both wheels of a revision in two folders; their SHA-256 by name. Raises Refused when they differ."""
    with tempfile.TemporaryDirectory() as first, tempfile.TemporaryDirectory() as second:
        digests = [_build(revision, Path(place)) for place in (first, second)]
        if digests[0] != digests[1]:
            raise Refused(f"two builds of {revision} differ: {digests[0]} and {digests[1]}")
        output.mkdir(exist_ok=True)
        for name in digests[0]:
            (output / name).write_bytes((Path(first) / "wheels" / name).read_bytes())
    return digests[0]


def extract(revision: str, tree: Path) -> None:
    """Write the files of a revision into a new folder."""
    tree.mkdir()
    with (
        subprocess.Popen(["git", "archive", revision], cwd=ROOT, stdout=subprocess.PIPE) as archive,
        tarfile.open(fileobj=archive.stdout, mode="r|") as files,
    ):
        # Python before 3.11.4 has no filters; it does not look at the attribute.
        files.extraction_filter = getattr(tarfile, "data_filter", None)
        files.extractall(tree)  # nosec B202 -- an archive of our own commits


def _build(revision: str, place: Path) -> dict[str, str]:
    tree, wheels = place / "tree", place / "wheels"
    extract(revision, tree)
    environment = {**os.environ, "SOURCE_DATE_EPOCH": _git("log", "-1", "--format=%ct", revision)}
    environment |= {"PYTHONPATH": str(tree), "PYTHONHASHSEED": "0"}
    pip = [sys.executable, "-m", "pip", "wheel", "--quiet", "--disable-pip-version-check", "--no-deps"]
    # The client first: what the product's build leaves behind in the tree must not be in it.
    for command in (
        [sys.executable, "deploy/client/build.py", str(wheels)],
        [*pip, "--no-build-isolation", "--wheel-dir", str(wheels), "."],
    ):
        subprocess.run(command, cwd=tree, env=environment, check=True, stdout=sys.stderr)
    return {each.name: hashlib.sha256(each.read_bytes()).hexdigest() for each in sorted(wheels.glob("*.whl"))}


def _present_version() -> str:
    found = re.search(r'^version = "(.*)"$', _text("pyproject.toml"), re.MULTILINE)
    if found is None:
        raise Refused("pyproject.toml has no version")
    return found[1]


def _numbers(version: str) -> tuple[int, ...]:
    return tuple(map(int, version.split(".")))


def _text(name: str) -> str:
    return (ROOT / name).read_text("utf-8")


def _run(command: list[str]) -> None:
    subprocess.run(command, cwd=ROOT, check=True)


def _git(*words: str) -> str:
    return subprocess.run(["git", *words], cwd=ROOT, check=True, capture_output=True, text=True).stdout.strip()


if __name__ == "__main__":
    try:
        today = datetime.fromtimestamp(SystemTimeSource().now() / 1_000_000, UTC).date().isoformat()
        if sys.argv[1:2] == ["--check"]:
            check(sys.argv[2], today)
        else:
            release(sys.argv[1], today)
    except (Refused, subprocess.CalledProcessError) as problem:
        reason = getattr(problem, "stderr", None) or problem
        sys.exit(f"release: {str(reason).strip()}")
