"""The tokens file and `sla board tokens`."""

from __future__ import annotations

import json
import os
import stat
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from typer.testing import CliRunner

from board.access import tokens as tokens_file
from board.access.tokens import TokensFile, TokensFileError, add_token, read_tokens, remove_token, sha256_of
from cli.services.board_tokens import tokens_app
from connect.actions.person import Person, Role
from tests.standard_modules import altered

KIM = Person("kim", "Kim", frozenset({Role.RESPONDER}))
NOW = 1_790_000_000_000_000


def test_the_file_has_digests_alone_and_is_the_owners(tmp_path: Path) -> None:
    path = tmp_path / "new" / "tokens.json"
    token = add_token(path, KIM, NOW)
    assert token not in path.read_text()
    assert sha256_of(token) in path.read_text()
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    entry = TokensFile(path).find(token)
    assert entry is not None
    assert entry.person == KIM


def test_one_person_may_have_several_tokens(tmp_path: Path) -> None:
    path = tmp_path / "tokens.json"
    first, second = add_token(path, KIM, NOW), add_token(path, KIM, NOW, name="laptop")
    tokens = TokensFile(path)
    assert [each and each.person for each in (tokens.find(first), tokens.find(second))] == [KIM, KIM]
    with pytest.raises(TokensFileError, match="there is a token laptop already"):
        add_token(path, KIM, NOW, name="laptop")
    remove_token(path, "kim")
    assert tokens.find(first) is None
    assert tokens.find(second) is not None


def test_a_file_of_an_earlier_release_names_no_tokens(tmp_path: Path) -> None:
    path = tmp_path / "tokens.json"
    token = add_token(path, KIM, NOW)
    document = json.loads(path.read_text())
    del document["tokens"][0]["token"]
    path.write_text(json.dumps(document))
    (entry,) = read_tokens(path)
    assert (entry.name, entry.person, entry.sha256) == ("kim", KIM, sha256_of(token))


def test_what_was_written_survives_a_power_cut(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The directory is written after the file has its name: else a removed token might come back."""
    path = tmp_path / "tokens.json"
    add_token(path, KIM, NOW)
    written: list[tuple[bool, bool]] = []
    fsync = os.fsync

    def noted(descriptor: int) -> None:
        is_directory = stat.S_ISDIR(os.fstat(descriptor).st_mode)
        written.append((is_directory, read_tokens(path) == []))
        fsync(descriptor)

    monkeypatch.setattr(tokens_file, "os", altered(os, fsync=noted))
    remove_token(path, "kim")
    assert written == [(False, False), (True, True)]


def test_changes_are_seen_at_once(tmp_path: Path) -> None:
    path = tmp_path / "tokens.json"
    tokens = TokensFile(path)
    assert tokens.find("x") is None
    token = add_token(path, KIM, NOW)
    assert tokens.find(token) is not None
    remove_token(path, "kim")
    assert tokens.find(token) is None
    path.unlink()
    assert tokens.find(token) is None


@pytest.mark.parametrize(
    ("content", "problem"),
    [
        ("{", "is no tokens file"),
        ("[]", "is no tokens file"),
        ('{"version": 2, "tokens": []}', "has version 2; this release reads version 1"),
        ('{"version": 1, "tokens": [{"id": "kim"}]}', "is no tokens file"),
        ('{"version": 1, "tokens": [{"id": "a", "name": "A", "roles": ["boss"], "tenants": null}]}', "allowed: viewer"),
        ('{"version": 1, "tokens": [{"id": "", "name": "A", "roles": [], "tenants": null}]}', "person: is empty"),
        (
            '{"version": 1, "tokens": [{"id": "a", "name": "A", "roles": [], "tenants": "acme"}]}',
            "tenants must be null",
        ),
    ],
)
def test_a_file_that_is_no_tokens_file_lets_nobody_in(tmp_path: Path, content: str, problem: str) -> None:
    path = tmp_path / "tokens.json"
    token = add_token(path, KIM, NOW)
    tokens = TokensFile(path)
    assert tokens.find(token) is not None
    path.write_text(content)
    with pytest.raises(TokensFileError, match=problem):
        read_tokens(path)
    assert tokens.find(token) is None


def test_a_file_that_others_may_write_to_lets_nobody_in(tmp_path: Path) -> None:
    path = tmp_path / "tokens.json"
    token = add_token(path, KIM, NOW)
    path.chmod(0o620)
    with pytest.raises(TokensFileError, match="run chmod 600"):
        read_tokens(path)
    assert TokensFile(path).find(token) is None


def test_people_who_are_added_at_the_same_time_are_all_there(tmp_path: Path) -> None:
    path = tmp_path / "tokens.json"
    people = [Person(f"p{number:02}", "P", frozenset({Role.VIEWER})) for number in range(20)]
    with ThreadPoolExecutor(8) as pool:
        tokens = list(pool.map(lambda each: add_token(path, each, NOW), people))
    assert [each.person.id for each in read_tokens(path)] == [each.id for each in people]
    assert len(set(tokens)) == len(people)


def test_the_command_adds_lists_and_removes(tmp_path: Path) -> None:
    file = ["--file", str(tmp_path / "tokens.json")]
    run = CliRunner().invoke
    added = run(tokens_app, ["add", "pat", "--role", "viewer", "--role", "billing", "--tenant", "acme", *file])
    assert added.exit_code == 0
    token = added.stdout.strip()
    assert len(token) == len("slab_") + 43
    assert run(tokens_app, ["add", "pat", "--role", "viewer", *file]).exit_code == 2
    listed = run(tokens_app, ["list", *file]).stdout
    assert listed.startswith("pat\tbilling,viewer\ttenants acme\t")
    line = json.loads(run(tokens_app, ["list", "--json", *file]).stdout)
    assert (line["id"], line["roles"], line["tenants"]) == ("pat", ["billing", "viewer"], ["acme"])
    assert token not in listed
    script = run(tokens_app, ["add", "pat-script", "--role", "viewer", "--person", "pat", *file])
    entry = TokensFile(tmp_path / "tokens.json").find(script.stdout.strip())
    assert entry is not None
    assert (entry.name, entry.person.id) == ("pat-script", "pat")
    ann = json.loads(run(tokens_app, ["add", "ann", "--role", "viewer", "--json", *file]).stdout)
    assert {**ann, "secret": ""} == {
        "token": "ann",
        "id": "ann",
        "name": "ann",
        "roles": ["viewer"],
        "tenants": None,
        "secret": "",
    }
    entry = TokensFile(Path(file[1])).find(ann["secret"])
    assert entry is not None
    assert entry.name == "ann"
    assert json.loads(run(tokens_app, ["remove", "ann", "--json", *file]).stdout) == {"removed": "ann"}
    assert run(tokens_app, ["remove", "pat-script", *file]).exit_code == 0
    assert run(tokens_app, ["remove", "pat", *file]).exit_code == 0
    gone = run(tokens_app, ["remove", "pat", *file])
    assert gone.exit_code == 2
    assert "there are: none" in gone.stderr
    assert run(tokens_app, ["add", "x\ny", "--role", "viewer", *file]).exit_code == 2
    assert run(tokens_app, ["add", "kim", "--role", "boss", *file]).exit_code == 2
