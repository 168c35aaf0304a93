"""What a release changes in files, and which versions it refuses. The command itself is rehearsed in a clone."""

from __future__ import annotations

import importlib.util
import subprocess
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
_spec = importlib.util.spec_from_file_location("release", ROOT / "deploy" / "release.py")
assert _spec is not None
assert _spec.loader is not None
release = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(release)

PRESENT = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]["version"]
CHANGELOG = "# Changelog\n\n## [Unreleased]\n\n### Try\n- New.\n\n## [0.1.0] - 2026-01-01\n- Old.\n"


@pytest.mark.parametrize("name", release.PLACES)
def test_the_version_stands_where_a_release_changes_it(name: str) -> None:
    text = (ROOT / name).read_text("utf-8")
    changed = release.with_version(text, release.PLACES[name], PRESENT, "99.0.0")
    assert "99.0.0" in changed
    assert len(changed.splitlines()) == len(text.splitlines())
    with pytest.raises(release.Refused, match="found it 0 times"):
        release.with_version(changed, release.PLACES[name], PRESENT, "99.0.0")


@pytest.mark.parametrize(
    ("version", "why"),
    [
        ("", "write three numbers"),
        ("0.2", "write three numbers"),
        ("v0.2.0", "write three numbers"),
        ("0.02.0", "write three numbers"),
        ("0.1.0", "is not above the present 0.1.0"),
        ("0.0.9", "is not above the present 0.1.0"),
    ],
)
def test_other_versions_are_refused(version: str, why: str) -> None:
    release.check_version("0.10.0", "0.9.9")
    with pytest.raises(release.Refused, match=why):
        release.check_version(version, "0.1.0")


def test_what_was_unreleased_gets_the_version_and_its_day() -> None:
    done = release.cut(CHANGELOG, "0.2.0", "2026-11-27")
    assert done == CHANGELOG.replace("[Unreleased]\n", "[Unreleased]\n\n## [0.2.0] - 2026-11-27\n")
    with pytest.raises(release.Refused, match="nothing under Unreleased"):
        release.cut(done, "0.3.0", "2026-11-27")
    with pytest.raises(release.Refused, match="has no line"):
        release.cut("# Changelog\n", "0.3.0", "2026-11-27")


def test_what_is_built_is_the_revision_and_nothing_else(tmp_path: Path) -> None:
    if not (ROOT / ".git").exists():
        pytest.skip("not a clone")
    release.extract("HEAD", tmp_path / "tree")
    assert (tmp_path / "tree" / "pyproject.toml").is_file()
    assert not (tmp_path / "tree" / ".git").exists()
    assert not (tmp_path / "tree" / ".venv").exists()


def test_a_release_starts_from_a_clean_tree_without_its_tag(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in (*release.PLACES, "CHANGELOG.md"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_bytes((ROOT / name).read_bytes())
    (tmp_path / "CHANGELOG.md").write_text(CHANGELOG)

    def git(*words: str) -> None:
        identity = ["-c", "user.name=t", "-c", "user.email=t@example.org", "-c", "commit.gpgsign=false"]
        subprocess.run(["git", *identity, *words], cwd=tmp_path, check=True, capture_output=True)

    git("init", "--quiet")
    git("add", "--all")
    git("commit", "--quiet", "--message", "one")
    monkeypatch.setattr(release, "ROOT", tmp_path)
    texts = release.check("99.0.0", "2026-11-27")
    assert texts.keys() == {*release.PLACES, "CHANGELOG.md"}
    assert all("99.0.0" in text for text in texts.values())
    (tmp_path / "more").touch()
    with pytest.raises(release.Refused, match="commit or stash"):
        release.check("99.0.0", "2026-11-27")
    (tmp_path / "more").unlink()
    git("tag", "v99.0.0")
    with pytest.raises(release.Refused, match=r"the tag v99\.0\.0 exists"):
        release.check("99.0.0", "2026-11-27")
