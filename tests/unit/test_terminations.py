"""SIGTERM and SIGHUP end a command as Ctrl-C does, with an exit code of their own."""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import Callable, Iterator

import pytest

from cli import main as command_line

HANDLED = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


@pytest.fixture(autouse=True)
def signals() -> Iterator[None]:
    before = {number: signal.getsignal(number) for number in HANDLED}
    signal.signal(signal.SIGINT, signal.default_int_handler)
    for number in HANDLED[1:]:
        signal.signal(number, signal.SIG_DFL)
    yield
    for number, handler in before.items():
        signal.signal(number, handler)


def run(command: Callable[[], None], monkeypatch: pytest.MonkeyPatch) -> int:
    monkeypatch.setattr(command_line, "app", command)
    with pytest.raises(SystemExit) as ended:
        command_line.main()
    assert isinstance(ended.value.code, int)
    return ended.value.code


@pytest.mark.parametrize("number", HANDLED[1:])
@pytest.mark.parametrize("ignored", [False, True])
def test_a_command_is_interrupted(number: signal.Signals, ignored: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    told: list[str] = []
    if ignored:  # as in a background job of a script
        signal.signal(signal.SIGINT, signal.SIG_IGN)

    async def publishing() -> None:
        try:
            os.kill(os.getpid(), number)
            await asyncio.Event().wait()
        finally:
            told.append("what is acknowledged")

    def command() -> None:
        try:
            asyncio.run(publishing())
        except KeyboardInterrupt:
            told.append("result")
            raise SystemExit(130) from None

    assert run(command, monkeypatch) == 128 + number
    assert told == ["what is acknowledged", "result"]


def test_what_is_ignored_stays_ignored(monkeypatch: pytest.MonkeyPatch) -> None:
    signal.signal(signal.SIGHUP, signal.SIG_IGN)

    def command() -> None:
        os.kill(os.getpid(), signal.SIGHUP)
        raise SystemExit(0)

    assert run(command, monkeypatch) == 0
