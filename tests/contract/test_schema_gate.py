"""The schema gate on a throw-away repository with a release tag."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from schemas import gate

ROOT = Path(__file__).parents[2]
BASE: dict[str, Any] = {
    "type": "record",
    "name": "Thing",
    "namespace": "t.v1",
    "fields": [
        {"name": "id", "type": "string"},
        {"name": "at", "type": {"type": "long", "logicalType": "timestamp-micros"}},
        {"name": "on", "type": {"type": "enum", "name": "On", "symbols": ["a", "unknown"], "default": "unknown"}},
    ],
}


def git(repository: Path, *arguments: str) -> None:
    identity = ["-c", "user.name=t", "-c", "user.email=t@example.invalid", "-c", "commit.gpgsign=false"]
    subprocess.run(["git", "-C", str(repository), *identity, *arguments], check=True, capture_output=True)


def write(repository: Path, name: str, schema: object) -> None:
    (repository / gate.FOLDER / name).write_text(json.dumps(schema), encoding="utf-8")


def with_fields(*fields: object) -> dict[str, Any]:
    return {**BASE, "fields": [*BASE["fields"], *fields]}


@pytest.fixture
def unreleased(tmp_path: Path) -> Path:
    (tmp_path / gate.FOLDER).mkdir(parents=True)
    git(tmp_path, "init", "--quiet")
    write(tmp_path, "thing.happened.avsc", BASE)
    return tmp_path


@pytest.fixture
def released(unreleased: Path) -> Path:
    git(unreleased, "add", ".")
    git(unreleased, "commit", "--quiet", "--message", "first")
    git(unreleased, "tag", "v1.2.0")
    git(unreleased, "tag", "vendored")  # no release
    return unreleased


def problems(repository: Path) -> str:
    return "\n".join(gate.check(repository)[1])


def test_everything_may_change_before_the_first_release(unreleased: Path) -> None:
    assert gate.check(unreleased) == ("1 schemas, no release yet", [])
    git(unreleased, "add", ".")
    git(unreleased, "commit", "--quiet", "--message", "first")
    git(unreleased, "tag", "v2.0.0-rc1")
    write(unreleased, "thing.happened.avsc", with_fields({"name": "more", "type": "int"}))
    assert gate.check(unreleased) == ("1 schemas, no release yet", [])


def test_an_untouched_release_passes_however_it_is_laid_out(released: Path) -> None:
    text = json.dumps(BASE, indent=4)
    (released / gate.FOLDER / "thing.happened.avsc").write_text(text, encoding="utf-8")
    assert gate.check(released) == ("1 schemas against the 1 of v1.2.0", [])


def test_an_edited_schema_is_refused(released: Path) -> None:
    write(released, "thing.happened.avsc", with_fields({"name": "more", "type": ["null", "int"], "default": None}))
    assert "thing.happened.avsc: is released and may not change" in problems(released)
    assert "thing.happened.v2.avsc" in problems(released)


def test_a_deleted_schema_is_refused(released: Path) -> None:
    (released / gate.FOLDER / "thing.happened.avsc").unlink()
    assert "thing.happened.avsc: is released and may not go" in problems(released)


def test_a_new_type_passes(released: Path) -> None:
    write(released, "thing.ended.avsc", {**BASE, "name": "Other"})
    assert problems(released) == ""


def test_a_compatible_version_passes(released: Path) -> None:
    grown = with_fields({"name": "more", "type": ["null", "int"], "default": None})
    grown["fields"][2] = json.loads(json.dumps(BASE["fields"][2]).replace('"a"', '"a", "b"'))
    write(released, "thing.happened.v2.avsc", grown)
    assert problems(released) == ""


@pytest.mark.parametrize(
    ("schema", "word"),
    [
        (with_fields({"name": "more", "type": "int"}), "reader_field_missing_default_value"),
        ({**BASE, "fields": BASE["fields"][1:]}, "thing.happened.avsc: can't read what thing.happened.v2.avsc writes"),
        ({**BASE, "fields": [{"name": "id", "type": "long"}, *BASE["fields"][1:]]}, "type_mismatch"),
        ({**BASE, "name": "Renamed"}, "name_mismatch"),
        ({"type": "record"}, "thing.happened.v2.avsc"),
    ],
    ids=["field without default", "field taken away", "type changed", "renamed", "no schema"],
)
def test_an_incompatible_version_is_refused(released: Path, schema: object, word: str) -> None:
    write(released, "thing.happened.v2.avsc", schema)
    assert word in problems(released)


def test_a_version_below_a_released_one_is_refused(released: Path) -> None:
    write(released, "thing.happened.v3.avsc", BASE)
    git(released, "add", ".")
    git(released, "commit", "--quiet", "--message", "third")
    git(released, "tag", "v1.10.0")
    write(released, "thing.happened.v2.avsc", BASE)
    assert gate.check(released)[0].endswith("of v1.10.0")
    assert "version 3 is released already" in problems(released)


@pytest.mark.parametrize(("edited", "code"), [(False, 0), (True, 1)])
def test_it_runs_as_a_module(released: Path, edited: bool, code: int) -> None:
    if edited:
        write(released, "thing.happened.avsc", with_fields({"name": "more", "type": "int"}))
    done = run(released)
    assert (done.returncode, "may not change" in done.stderr) == (code, edited)


def test_outside_a_repository_it_says_so(tmp_path: Path) -> None:
    done = run(tmp_path)
    assert done.returncode == 2
    assert "git can't be asked" in done.stderr


def test_the_schemas_of_this_work_tree_pass() -> None:
    assert gate.check(ROOT)[1] == []


def run(directory: Path) -> subprocess.CompletedProcess[str]:
    environment = {"PYTHONPATH": str(ROOT), "PATH": "/usr/bin:/bin:/usr/local/bin", "GIT_CEILING_DIRECTORIES": "/"}
    command = [sys.executable, "-m", "schemas.gate"]
    return subprocess.run(command, cwd=directory, env=environment, check=False, capture_output=True, text=True)
