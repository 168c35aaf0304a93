"""`sla up` reports every process that ends by itself, with its code, however close to a stop; processes are fakes."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace

import pytest
from typer.testing import CliRunner

from board.access.tokens import TokensFile
from cli.local import services, stack, up
from cli.local.parent import of_this_process
from cli.local.services import LocalBoard
from cli.main import app
from tests.waiting import TIMEOUT_S

SLEEPS = (
    "import signal; signal.signal(signal.SIGTERM, lambda *_: exit(0)); print('started', flush=True); signal.pause()"
)


def python(code: str) -> tuple[str, ...]:
    return (sys.executable, "-c", code)


@pytest.fixture(autouse=True)
def signals() -> Iterator[None]:
    before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM, signal.SIGCHLD)}
    yield
    for number, handler in before.items():
        signal.signal(number, handler)


@pytest.fixture
def local(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> stack.Stack:
    """A stack without Kafka, whose worker is ready as soon as it has printed something."""
    broker = SimpleNamespace(bootstrap="127.0.0.1:1", data_dir=tmp_path, alive=True, stop=lambda **_: None)
    monkeypatch.setattr(stack, "start_broker", lambda *_: broker)
    monkeypatch.setattr(stack, "apply_topics", lambda *_: None)
    monkeypatch.setattr(stack.Stack, "ready", lambda self: "started" in self.log.read_text())
    monkeypatch.setattr(stack, "WORKER", python(SLEEPS))
    monkeypatch.setattr(up, "_LOOK_S", 0.01)

    class Service(SimpleNamespace):
        def __enter__(self) -> Service:
            return self

        def __exit__(self, *_: object) -> None:
            return None

    intake = Service(command="intake", url="", log="intake.log", mapping=None, code=lambda: None)
    monkeypatch.setattr(up, "LocalIntake", lambda *_: intake)
    board = Service(
        command="board",
        url="http://127.0.0.1:8090",
        log="board.log",
        code=lambda: None,
        how_to_sign_in=lambda: ["sign in"],
    )
    monkeypatch.setattr(up, "LocalBoard", lambda *_: board)
    return stack.Stack(tmp_path)


def set_event() -> threading.Event:
    stop = threading.Event()
    stop.set()
    return stop


def test_a_worker_killed_just_before_the_stop_is_reported(local: stack.Stack) -> None:
    with local:
        local.start_worker()
        local.kill_worker()
        with pytest.raises(stack.StackError, match="the worker ended with code -9"):
            up._watch(local, [], set_event())


def test_a_worker_that_ends_by_itself_is_reported_with_its_code_even_0(
    local: stack.Stack, monkeypatch: pytest.MonkeyPatch
) -> None:
    for code in (0, 7):
        monkeypatch.setattr(stack, "WORKER", python(f"print('started', flush=True); exit({code})"))
        with local:
            local.start_worker()
            with pytest.raises(stack.StackError, match=f"the worker ended with code {code}"):
                up._watch(local, [], threading.Event())


def test_a_worker_that_ended_on_the_same_ctrl_c_is_no_failure(local: stack.Stack) -> None:
    with local:
        local.start_worker()
        local.stop_worker()
        up._watch(local, [], set_event())


def test_a_stop_while_a_process_starts_is_no_failure_of_that_process(
    local: stack.Stack, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(stack, "WORKER", python("exit(0)"))
    with local, pytest.raises(stack.StackStopped):
        local.start_worker(stop=set_event())
    monkeypatch.setattr(services, "answers", lambda _: False)
    with pytest.raises(stack.StackStopped), services.LocalIntake("127.0.0.1:1", tmp_path, None, 1, set_event()):
        pass


def test_a_port_that_is_taken_is_named_before_anything_answers_there(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        with pytest.raises(stack.StackError, match=f"sla intake can't start: port {port} .* is already in use"):
            services.LocalIntake("127.0.0.1:1", tmp_path, None, port).__enter__()


@pytest.mark.parametrize(("command", "option"), [("intake", "--intake-port"), ("board", "--board-port")])
def test_a_taken_port_is_named_before_kafka_starts(
    command: str, option: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(stack, "start_broker", lambda *_: pytest.fail("Kafka is started"))
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = str(other.getsockname()[1])
        result = CliRunner().invoke(app, ["up", "--data", str(tmp_path / "data"), option, port])
    assert result.exit_code == 2
    assert f"sla {command} can't start: port {port} on 127.0.0.1 is already in use" in result.output
    assert not (tmp_path / "data").exists()


def test_two_of_the_same_port_are_refused_before_kafka_starts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stack, "start_broker", lambda *_: pytest.fail("Kafka is started"))
    arguments = ["up", "--data", str(tmp_path / "data"), "--intake-port", "18090", "--board-port", "18090"]
    result = CliRunner().invoke(app, arguments)
    assert result.exit_code == 2
    assert "--intake-port and --board-port are both 18090: choose another port" in result.output


def of_a_process_that_is_gone() -> dict[str, str]:
    return os.environ | dict.fromkeys(of_this_process(), str(2**22 + 1))  # nobody's id


def test_a_process_whose_parent_is_killed_before_it_runs_a_line_ends() -> None:
    child = f"{stack.WITH_PARENT}import signal; print('started', flush=True); signal.pause()"
    with subprocess.Popen(python(child), env=of_a_process_that_is_gone(), stdout=subprocess.PIPE) as process:
        assert process.wait(TIMEOUT_S) == -signal.SIGTERM


def test_a_process_that_does_not_end_with_its_parent_is_ended_by_force() -> None:
    child = (
        "import signal; signal.signal(signal.SIGTERM, lambda *_: None); "
        "from cli.local.parent import end_with_parent; end_with_parent(0.01, 0.01)\nwhile True: signal.pause()"
    )
    with subprocess.Popen(python(child), env=of_a_process_that_is_gone()) as process:
        assert process.wait(TIMEOUT_S) == -signal.SIGKILL


def test_a_process_ends_when_the_one_that_started_it_is_killed() -> None:
    """`sla up` can't stop its processes then."""
    child = (
        "import signal, sys, threading; from cli.local.parent import end_with_parent; end_with_parent(0.01); "
        "ended = threading.Event(); signal.signal(signal.SIGTERM, lambda *_: ended.set()); "
        "print('watching', flush=True); ended.wait(); print('ended', flush=True)"
    )
    starter = f"import subprocess, sys; subprocess.Popen([sys.executable, '-c', {child!r}]).wait()"
    with subprocess.Popen(python(starter), stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "watching\n"
        process.kill()
        assert process.stdout.read() == "ended\n"  # the pipe ends with the last who has it


def test_the_log_that_an_error_names_stays(local: stack.Stack, monkeypatch: pytest.MonkeyPatch) -> None:
    """Also in a temporary directory."""
    kept: list[bool] = []
    monkeypatch.setattr(local.broker, "stop", lambda *, keep_data: kept.append(keep_data))
    with local:
        pass
    with pytest.raises(stack.StackError), local:
        raise stack.StackError("see board.log")
    assert kept == [False, True]


@pytest.mark.usefixtures("local")
def test_the_code_is_that_of_the_worker_where_sigchld_is_ignored(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(stack, "WORKER", python("print('started', flush=True); exit(7)"))
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)
    result = CliRunner().invoke(app, ["up", "--data", str(tmp_path)])
    assert result.exit_code == 2, result.output
    assert "the worker ended with code 7" in result.output


@pytest.mark.usefixtures("local")
def test_a_worker_that_fails_while_it_stops_is_reported(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stack, "WORKER", python(SLEEPS.replace("exit(0)", "exit(1)")))
    monkeypatch.setattr(up, "_watch", lambda *_: None)
    result = CliRunner().invoke(app, ["up", "--data", str(tmp_path)])
    assert result.exit_code == 2, result.output
    assert "the worker ended with code 1 when it was stopped" in result.output


def test_the_first_start_makes_tokens_for_two_people_and_prints_them_once(tmp_path: Path) -> None:
    first = LocalBoard("127.0.0.1:1", tmp_path, 8090)
    assert set(first.new_tokens) == {"ann", "bob"}
    shown = "\n".join(first.how_to_sign_in())
    assert "http://127.0.0.1:8090/sign-in" in shown
    assert max(len(line) for line in shown.splitlines()) < 80
    tokens = TokensFile(tmp_path / "board-tokens.json")
    for name, token in first.new_tokens.items():
        assert token in shown
        found = tokens.find(token)
        assert found is not None
        assert found.person.id == name
    second = "\n".join(LocalBoard("127.0.0.1:1", tmp_path, 8090).how_to_sign_in())
    assert "slab_" not in second
    assert "board-tokens.json" in second


def test_a_directory_that_cannot_be_made_is_told_with_its_option(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(up, "_check_ports", lambda _: None)
    (tmp_path / "file").write_text("")
    ended = CliRunner().invoke(app, ["up", "--data", str(tmp_path / "file" / "up")])
    assert ended.exit_code == 2
    assert ended.stderr == f"error: {tmp_path}/file/up can't be made: Not a directory; --data names another directory\n"
