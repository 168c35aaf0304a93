"""`sla rejected retry NUMBER`: the list may have moved since it was printed, and another record must not be sent."""

from __future__ import annotations

import json
from collections.abc import Sequence
from types import SimpleNamespace

import pytest
from test_commands_reading import reject
from typer.testing import CliRunner

from cli.events import rejected as command
from cli.main import app
from connect.actions import rejected_retry
from connect.actions.rejected_retry import RetryRecord
from connect.kafka_io import rejected_records
from connect.kafka_io.batches import PublishingStopped
from connect.kafka_io.rejected_records import RejectedRecord, numbered, oldest_deleted
from streams.serde.codec import decode
from streams.settings import read_settings

FIRST, SECOND = "sla.incident-events/0/7", "sla.incident-events/1/3"


class Retries:
    """The rejected topic, and which originals were sent again."""

    def __init__(self) -> None:
        self.deleted = False
        self.stopped: BaseException | None = None
        self.sent: list[str] = []

    def send(self, _: object, records: Sequence[RetryRecord]) -> list[object]:
        if self.stopped is not None:
            raise self.stopped
        self.sent += [each.topic for each in records]
        return []


def record(entry: RejectedRecord, *_: object, **__: object) -> RetryRecord:
    return RetryRecord(entry.original, 0, None, None, [], False)


@pytest.fixture
def retries(monkeypatch: pytest.MonkeyPatch) -> Retries:
    made = Retries()
    entries = list(numbered([reject(0, 7, 10), reject(1, 3, 20)], decode))
    monkeypatch.setattr(rejected_records, "rejected_in", lambda *_, **__: entries)
    monkeypatch.setattr(rejected_records, "oldest_deleted", lambda _: made.deleted)
    monkeypatch.setattr(rejected_retry, "retry_record", record)
    monkeypatch.setattr(rejected_retry, "send", made.send)
    monkeypatch.setenv("SLA_BROKERS", "127.0.0.1:1")
    return made


def retry(*words: str, answer: str | None = None) -> tuple[int, str]:
    done = CliRunner().invoke(app, ["rejected", "retry", *words, "--no-wait"], input=answer)
    return done.exit_code, done.stderr


def test_a_number_is_refused_once_records_before_it_are_deleted(retries: Retries) -> None:
    assert retry("2") == (0, "1 record sent again\n")
    assert retries.sent == [SECOND]
    retries.deleted = True
    code, told = retry("1")
    assert (code, retries.sent) == (2, [SECOND])
    assert "give the coordinates; nothing was sent" in told
    assert retry(FIRST)[0] == 0
    assert retries.sent == [SECOND, FIRST]


def test_on_a_terminal_the_record_of_a_number_is_shown_first(retries: Retries, monkeypatch: pytest.MonkeyPatch) -> None:
    terminal = SimpleNamespace(isatty=lambda: True)
    monkeypatch.setattr(command, "sys", SimpleNamespace(stdin=terminal, stdout=terminal))
    retries.deleted = True  # who is asked sees it
    code, told = retry("1", answer="n\n")
    assert code == 1
    assert told.startswith(f"1 is {FIRST} (undecodable, key k)\nsend it again?")
    assert not retries.sent
    assert retry("1", answer="y\n")[0] == 0
    assert retry(SECOND) == (0, "1 record sent again\n")
    assert retries.sent == [FIRST, SECOND]


@pytest.mark.parametrize("command", ["list", "retry"])
def test_a_code_that_no_reject_can_have_is_refused(retries: Retries, command: str) -> None:
    done = CliRunner().invoke(app, ["rejected", command, "--code", "undecodeable", "--json"])
    assert (done.exit_code, done.stdout, retries.sent) == (2, "", [])
    assert "--code: 'undecodeable' is not a code; allowed: " in done.stderr
    assert "undecodable" in done.stderr


def test_a_code_that_no_reject_has_changes_nothing(retries: Retries) -> None:
    done = CliRunner().invoke(app, ["rejected", "retry", "--code", "conflict", "--json"])
    assert (done.exit_code, json.loads(done.stdout)["outcome"]) == (0, "unchanged")


@pytest.mark.parametrize(("stopped", "code"), [(KeyboardInterrupt(), 130), (PublishingStopped("Kafka is gone", 1), 2)])
def test_a_retry_that_is_stopped_says_that_records_may_be_sent(
    retries: Retries, stopped: BaseException, code: int
) -> None:
    retries.stopped = stopped
    done = CliRunner().invoke(app, ["rejected", "retry", FIRST, "--json"])
    assert done.exit_code == code
    assert (json.loads(done.stdout)["outcome"], "may have been sent again" in done.stderr) == ("not_read_yet", True)
    assert json.loads(done.stdout)["stopped"] == (str(stopped) or "interrupted")


@pytest.mark.parametrize(("starts", "deleted"), [({0: 0, 1: 0}, False), ({0: 0, 1: 4}, True)])
def test_deleted_records_are_known_by_the_first_offsets(
    monkeypatch: pytest.MonkeyPatch, starts: dict[int, int], deleted: bool
) -> None:
    class Reader:
        def __init__(self, *_: object) -> None: ...
        def __enter__(self) -> Reader:
            return self

        def __exit__(self, *_: object) -> None: ...
        def from_beginning(self) -> None: ...
        def starts(self) -> dict[int, int]:
            return starts

    monkeypatch.setattr(rejected_records, "TopicReader", Reader)
    assert oldest_deleted(read_settings(brokers="127.0.0.1:1")) is deleted
