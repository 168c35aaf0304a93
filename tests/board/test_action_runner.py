"""A request for an action is answered in time whatever Kafka does, and the attempt is not lost."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Sequence

from sqlalchemy import Engine

from board.access.audit import AuditLog
from board.access.identity import RequestSender
from board.actions.present import SeenStates
from board.actions.runner import ActionAttempt, ActionRunner
from connect.actions.outcome import Accepted, ActionUnavailable, JsonEvent
from connect.actions.service import ActionService
from streams.settings import Settings
from streams.sla.events import Position
from tests.unit.action_bench import KIM, NOW, MemoryPresent, MemoryPublisher
from tests.unit.memory_clock import Stopped
from tests.waiting import TIMEOUT_S


class HangingPublisher(MemoryPublisher):
    """Answers only once it is released."""

    def __init__(self) -> None:
        super().__init__()
        self.released = threading.Event()

    def send(self, events: Sequence[JsonEvent]) -> list[Position]:
        assert self.released.wait(TIMEOUT_S)
        return super().send(events)


def test_a_kafka_that_hangs_is_unavailable_and_the_same_attempt_gets_its_outcome(empty_read_model: Engine) -> None:
    publisher, clock = HangingPublisher(), Stopped(NOW)
    service = ActionService(Settings(), MemoryPresent(), publisher=publisher, clock=clock)
    audit = AuditLog(empty_read_model, clock)
    runner = ActionRunner(service, SeenStates(), audit, clock, answer_s=0.05)
    patient = ActionRunner(service, SeenStates(), audit, clock, answer_s=TIMEOUT_S)
    sender, attempt = RequestSender(KIM, "127.0.0.1", "token"), ActionAttempt("respond", "inc-1", {}, "once")
    late = asyncio.run(runner.perform(sender, attempt))
    assert isinstance(late, ActionUnavailable)
    assert late.sent
    assert late.reason == "Kafka has not answered within 0.05 s"
    runner.close(0.02)  # while it still hangs
    publisher.released.set()
    again = asyncio.run(patient.perform(sender, attempt))
    assert isinstance(again, Accepted)
    assert len(publisher.events) == 1
    patient.close(2)
    assert publisher.closed
