"""Commands that publish contract facts say what came of them."""

from __future__ import annotations

from contextlib import nullcontext
from typing import Any

import pytest
import typer

from cli.support import waiting
from connect.actions.input_results import InputResults, RejectedInput
from connect.kafka_io import contract_topic
from connect.kafka_io.batches import SentRange
from streams.settings import read_settings


@pytest.mark.parametrize(("code", "told"), [("conflict", True), ("too_late", False)])
def test_of_two_commands_at_once_the_second_says_that_the_first_did_it(
    code: str, told: bool, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    class Results:
        def wait(self, *_: object) -> InputResults:
            return InputResults(0, [RejectedInput("sla.contract-events", 0, 7, code, "why", "claim")], 0)

    def publish(*_: Any) -> list[SentRange]:
        return [SentRange("sla.contract-events", 0, 7, 8)]

    monkeypatch.setattr(contract_topic, "publish", publish)
    monkeypatch.setattr(waiting, "results_reader", lambda *_: nullcontext(Results()))
    with pytest.raises(typer.Exit) as ended:
        waiting.publish_facts(read_settings(), [{"id": "claim"}], "/sla", wait=True, done=lambda _: None)
    assert ended.value.exit_code == 1
    said = capsys.readouterr().err
    assert f"(id claim): {code}: why" in said
    assert ("the same was said a moment before by another command, and that counts" in said) == told
