"""The schema gate, `python -m schemas.gate`: what is released stays, and what is new goes together with it.

It compares the .avsc files of the work tree with those of the last release tag (`v1.2.3`) that HEAD contains. A
released file may neither change nor go, because records written with it are retained without limit; a new version is a
new file (`incident.opened.v2.avsc`), which must read what every released version wrote, and be read by it. Needs the
`avro` package of the development dependencies. Exit codes: 0 fine (also with no release yet), 1 refused, 2 git can't be
asked.
"""

from __future__ import annotations

import json
import re
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

import avro.schema
from avro.compatibility import ReaderWriterCompatibilityChecker, SchemaCompatibilityType

from schemas.registry import split_file_name, without_logical_types

FOLDER = "schemas/avro"
_RELEASE = re.compile(r"v\d+(\.\d+)*")


def findings(released: Mapping[str, str], present: Mapping[str, str]) -> list[str]:
    """What is refused, one sentence each. Both map file name → text."""
    problems = []
    for file_name, text in sorted(released.items()):
        if file_name not in present:
            problems.append(f"{file_name}: is released and may not go: kept records are read with it")
        elif json.loads(present[file_name]) != json.loads(text):
            name, version = split_file_name(file_name)
            problems.append(
                f"{file_name}: is released and may not change; restore it and write {name}.v{version + 1}.avsc"
            )
    for file_name in sorted(present.keys() - released.keys()):
        try:
            name, version = split_file_name(file_name)
            schema = _avro_schema(present[file_name])
        except (ValueError, avro.errors.AvroException) as error:
            problems.append(f"{file_name}: {error}")
            continue
        for other_name, text in sorted(released.items()):
            other, other_version = split_file_name(other_name)
            if other != name:
                continue
            if other_version > version:
                problems.append(f"{file_name}: version {other_version} is released already; take a higher number")
            old = _avro_schema(text)
            problems += [f"{file_name}: can't read what {other_name} wrote: {why}" for why in _misfits(schema, old)]
            problems += [f"{other_name}: can't read what {file_name} writes: {why}" for why in _misfits(old, schema)]
    return problems


def released_files(repository: Path) -> tuple[str | None, dict[str, str]]:
    """The last release tag that HEAD contains, and its schemas. (None, {}) before the first release.

    Raises OSError when git is missing, CalledProcessError when it fails.
    """
    if _git(repository, "rev-parse", "--quiet", "--verify", "HEAD", check=False) == "":
        return None, {}
    tags = _git(repository, "tag", "--list", "v*", "--sort=-version:refname", "--merged", "HEAD").split()
    tag = next((tag for tag in tags if _RELEASE.fullmatch(tag)), None)
    if tag is None:
        return None, {}
    paths = _git(repository, "ls-tree", "-r", "--name-only", tag, "--", FOLDER).splitlines()
    avsc = [path for path in paths if path.endswith(".avsc")]
    return tag, {Path(path).name: _git(repository, "show", f"{tag}:{path}") for path in avsc}


def check(repository: Path) -> tuple[str, list[str]]:
    """A sentence on what was compared, and what is refused."""
    tag, released = released_files(repository)
    present = {path.name: path.read_text(encoding="utf-8") for path in (repository / FOLDER).glob("*.avsc")}
    if tag is None:
        return f"{len(present)} schemas, no release yet", findings({}, present)
    return f"{len(present)} schemas against the {len(released)} of {tag}", findings(released, present)


def main() -> int:
    """Run the gate in the current directory's repository."""
    try:
        root = Path(_git(Path(), "rev-parse", "--show-toplevel").strip())
        compared, problems = check(root)
    except (OSError, subprocess.CalledProcessError) as error:
        reason = getattr(error, "stderr", None) or error
        sys.stderr.write(f"schema gate: git can't be asked: {str(reason).strip()}\n")
        return 2
    for problem in problems:
        sys.stderr.write(f"schema gate: {problem}\n")
    sys.stdout.write(f"schema gate: {compared}: {f'{len(problems)} refused' if problems else 'fine'}\n")
    return 1 if problems else 0


def _avro_schema(text: str) -> avro.schema.Schema:
    return avro.schema.parse(json.dumps(without_logical_types(json.loads(text))))


def _misfits(reader: avro.schema.Schema, writer: avro.schema.Schema) -> list[str]:
    checker = ReaderWriterCompatibilityChecker()  # type: ignore[no-untyped-call]
    result = checker.get_compatibility(reader, writer)
    if result.compatibility is SchemaCompatibilityType.compatible:
        return []
    kinds = ", ".join(sorted({kind.value for kind in result.incompatibilities}))
    where = ", ".join(sorted(result.locations))
    return [f"{kinds} ({'; '.join(sorted(result.messages))}) at {where}"]


def _git(repository: Path, *arguments: str, check: bool = True) -> str:
    command = ["git", "-C", str(repository), *arguments]
    return subprocess.run(command, check=check, capture_output=True, text=True, encoding="utf-8").stdout


if __name__ == "__main__":
    sys.exit(main())
