"""Shell completion: commands, subcommands, options and values, without what makes a command slow to start."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from typer._completion_shared import get_completion_script

from cli.main import LazyGroup

ROOT = Path(__file__).parents[2]
#: What no completion may wait for. Commands import it when they run.
HEAVY = ("aiokafka", "faust", "kafka", "pydantic", "sqlalchemy", "fastapi", "aiohttp", "yaml", "fastavro", "rich.table")
#: Commands whose modules import what they need at once: to complete their options takes a second.
SLOW = ("demo", "up", "bench", "incidents")


def sla(*arguments: str, **environment: str) -> str:
    """What the command prints in an environment of its own."""
    run = [sys.executable, "-c", "import sys; sys.argv[0] = 'sla'; from cli.main import main; main()", *arguments]
    ended = subprocess.run(
        run, cwd=ROOT, env=os.environ | environment, capture_output=True, text=True, timeout=600, check=False
    )
    assert ended.stderr == ""
    return ended.stdout


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("sla to", ["topics"]),
        ("sla topics ", ["apply", "show", "asyncapi", "acls", "kafkatopics", "backup", "restore"]),
        ("sla policy show --lang ", ["en", "ja"]),
    ],
)
def test_bash_completes_commands_subcommands_and_values(line: str, expected: list[str]) -> None:
    words = line.split()
    place = len(words) if line.endswith(" ") else len(words) - 1
    found = sla(_SLA_COMPLETE="complete_bash", COMP_WORDS=line, COMP_CWORD=str(place))
    assert found.split() == expected


def test_zsh_shows_what_options_mean() -> None:
    found = sla(_SLA_COMPLETE="complete_zsh", _TYPER_COMPLETE_ARGS="sla rejected list --")
    assert '"--code":"Only records with this code."' in found


def test_zsh_answers_the_tab_that_loads_the_script() -> None:
    """compinit reads the installed file at the first Tab and expects its answer; sourced, it must not call it."""
    script = get_completion_script(prog_name="sla", complete_var="_SLA_COMPLETE", shell="zsh")
    assert LazyGroup
    assert script.startswith("#compdef sla")
    assert script.splitlines()[-1] == 'if [ "$funcstack[1]" = "_sla" ]; then _sla_completion "$@"; fi'


def test_fish_completes_options() -> None:
    asked = {"_TYPER_COMPLETE_FISH_ACTION": "get-args", "_TYPER_COMPLETE_ARGS": "sla partitions --j"}
    assert sla(_SLA_COMPLETE="complete_fish", **asked).split()[0] == "--json"


@pytest.mark.skipif(shutil.which("bash") is None, reason="this system has no bash")
def test_the_script_for_bash_works_in_bash(tmp_path: Path) -> None:
    script = sla(_SLA_COMPLETE="source_bash")
    command = tmp_path / "sla"
    command.write_text(
        f"#!{sys.executable}\nimport sys\nsys.path.insert(0, {str(ROOT)!r})\nfrom cli.main import main\nmain()\n",
        encoding="utf-8",
    )
    command.chmod(0o755)
    asks = 'COMP_WORDS=(sla contracts im)\nCOMP_CWORD=2\n_sla_completion sla\necho "${COMPREPLY[@]}"\n'
    typed = f"{script}\n{asks}"
    path = f"{tmp_path}{os.pathsep}{os.environ['PATH']}"
    ended = subprocess.run(
        ["bash", "-c", typed], env=os.environ | {"PATH": path}, capture_output=True, text=True, timeout=600, check=False
    )
    assert (ended.stdout, ended.stderr) == ("import\n", "")


def test_no_completion_imports_clients_or_frameworks() -> None:
    """Of every command that completion looks into."""
    looked = (
        "import sys; from cli.main import COMMANDS, load; "
        f"[load(name) for name in COMMANDS if name not in {SLOW!r}]; "
        f"print([name for name in {HEAVY!r} if name in sys.modules])"
    )
    ended = subprocess.run(
        [sys.executable, "-c", looked], cwd=ROOT, capture_output=True, text=True, timeout=600, check=True
    )
    assert ended.stdout == "[]\n"
