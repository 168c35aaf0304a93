"""What commands say where their output, or a file they need, can't be used."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from typer.testing import CliRunner

from cli.main import app

_FULL = Path("/dev/full")


@pytest.mark.skipif(not _FULL.exists(), reason="this system has no /dev/full")
@pytest.mark.parametrize("command", ["--help", "policy show scalr-emergency", "simulate examples/outage.jsonl"])
def test_a_full_disk_is_one_line_and_exit_code_2(command: str) -> None:
    run = [sys.executable, "-c", "from cli.main import main; main()", *command.split()]
    root = Path(__file__).parents[2]
    with _FULL.open("w") as full:
        ended = subprocess.run(run, cwd=root, stdout=full, stderr=subprocess.PIPE, text=True, timeout=60, check=False)
    assert (ended.returncode, ended.stderr) == (2, "can't write: No space left on device\n")


@pytest.mark.parametrize(
    ("command", "option"), [("intake test - --source prometheus", "--mapping"), ("notify test -", "--routes")]
)
@pytest.mark.parametrize(
    ("text", "expected"), [("", "the file is empty; allowed: keys with values"), ("a: [", "this is not YAML: ")]
)
def test_a_mapping_or_routing_file_is_not_called_a_policy(
    command: str, option: str, text: str, expected: str, tmp_path: Path
) -> None:
    file = tmp_path / "file.yaml"
    file.write_text(text, encoding="utf-8")
    ended = CliRunner().invoke(app, [*command.split(), option, str(file)], input="{}")
    assert ended.exit_code == 2
    assert expected in ended.output
    assert "polic" not in ended.output.replace(str(file), "")
