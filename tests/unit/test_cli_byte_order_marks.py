"""Every file that a command reads may begin with a byte-order mark, as editors on Windows write it."""

from __future__ import annotations

import json
from codecs import BOM_UTF8
from pathlib import Path

import pytest
from story import contract, opened, resolved, run, texts
from typer.testing import CliRunner

from cli.main import app
from streams.policy.load import default_policies_dir

STORY = [contract("2026-02-01T00:00:00Z"), opened("2026-03-10T00:00:00Z"), resolved("2026-03-11T03:00:00Z")]


def written(path: Path, lines: list[str]) -> list[Path]:
    """The lines without the mark and with it."""
    plain, marked = path.with_suffix(".plain"), path.with_suffix(".marked")
    plain.write_text("\n".join(lines), encoding="utf-8")
    marked.write_bytes(BOM_UTF8 + plain.read_bytes())
    return [plain, marked]


def outputs(*words: object) -> list[str]:
    result = CliRunner().invoke(app, list(map(str, words)))
    assert result.exit_code == 0, result.output
    return result.stdout.splitlines()


@pytest.mark.parametrize("words", [("simulate",), ("what-if", "--policy", "scalr-emergency", "--against", "demo-live")])
def test_events(words: tuple[str, ...], tmp_path: Path) -> None:
    plain, marked = (outputs(*words, file) for file in written(tmp_path / "events", texts(STORY)))
    assert plain == marked
    assert len(plain) > 3
    assert not any("sla.rejected" in line for line in plain)


def test_statements_and_their_events(tmp_path: Path) -> None:
    given = [json.dumps(one) for one in run(*STORY, until="2026-04-20T00:00:00Z") if one["type"] == "credit.statement"]
    events = written(tmp_path / "events", texts(STORY))
    plain, marked = (
        outputs("verify", statements, "--events", history)
        for statements, history in zip(written(tmp_path / "statements", given), events, strict=True)
    )
    assert plain == marked
    assert "verified" in plain[0]


def test_policies(tmp_path: Path) -> None:
    text = (default_policies_dir() / "scalr-emergency" / "1.yaml").read_text(encoding="utf-8")
    plain, marked = (outputs("policy", "check", file)[0].split(": ", 1)[1] for file in written(tmp_path / "p", [text]))
    assert plain == marked
