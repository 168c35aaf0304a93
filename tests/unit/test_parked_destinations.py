"""`sla notify parked --destination`: a name that nobody knows is a mistake, and no reason to say that all is done."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from typer.testing import CliRunner

from cli.main import app
from connect.kafka_io import reader
from connect.kafka_io.reader import TopicRecord
from connect.notify.message import Message
from connect.notify.page_store_rows import (
    Parked,
    StateRow,
    parked_row,
    read_parked,
    retried_row,
    retry_rows,
    unparked_row,
)
from connect.notify.routing.recorded import RecordedRoutes, recorded_key, recorded_row
from connect.notify.routing.rules import Match, Route

EVENT = {"id": "e1", "type": "sla.breached", "time": "2026-05-01T00:00:00Z", "subject": "inc-1", "data": {}}
PARKED = parked_row(Parked("hook", "inc-1", Message("e1", "trigger", "", EVENT, 0, 0, 0), "HTTP 400", 0))
ROUTES = recorded_row(RecordedRoutes(recorded_key(7, "d"), (Route(Match(), ("pager",)),), "d", {0: 0}, 7))


@pytest.fixture
def rows(monkeypatch: pytest.MonkeyPatch) -> list[StateRow]:
    found = [PARKED, ROUTES]

    def read(*_: object, **__: object) -> Iterator[TopicRecord]:
        for offset, row in enumerate(found):
            yield TopicRecord("sla.notifications", 0, offset, offset, row.key, row.value, ())

    monkeypatch.setattr(reader, "read_topics", read)
    monkeypatch.setenv("SLA_BROKERS", "127.0.0.1:1")
    return found


def parked(*words: str) -> tuple[int, str]:
    done = CliRunner().invoke(app, ["notify", "parked", *words])
    return done.exit_code, done.output


@pytest.mark.parametrize("words", [("list",), ("list", "--json"), ("retry", "--all"), ("discard", "--all")])
def test_an_unknown_destination_is_named_with_those_that_there_are(
    rows: list[StateRow], words: tuple[str, ...]
) -> None:
    assert parked(*words, "--destination", "hok") == (2, "there is no destination hok; there are: hook, pager\n")


def test_a_message_that_a_notifier_is_asked_to_retry_is_not_listed_until_it_fails_again(rows: list[StateRow]) -> None:
    message = read_parked(*PARKED)
    assert message is not None
    rows += retry_rows(message)
    assert parked("list") == (0, "nothing is parked\n")
    assert parked("retry", "e1")[0] == 2
    rows += [unparked_row("hook", message.message), retried_row("hook", message.message)]
    assert parked("list") == (0, "nothing is parked\n")
    rows.append(PARKED)
    assert "HTTP 400" in parked("list")[1]


def test_a_known_destination_may_have_nothing_parked(rows: list[StateRow]) -> None:
    assert parked("list", "--destination", "pager") == (0, "nothing is parked\n")
    assert "HTTP 400" in parked("list", "--destination", "hook")[1]
    rows.clear()  # no notifier has run yet
    assert parked("list", "--destination", "hok") == (0, "nothing is parked\n")
