"""`sla up`: broker, worker, intake, board and, if asked for, notifier; data stay in a named directory between runs."""

from __future__ import annotations

import signal
import sys
import threading
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Annotated

import typer

from cli.embedded_kafka.node_files import BrokerError
from cli.local.services import LocalBoard, LocalIntake, LocalNotifier, LocalService, check_service_port
from cli.local.stack import Stack, StackError, StackStopped

DEFAULT_DATA = Path(".sla/up")
DEFAULT_PORT = 9092
DEFAULT_INTAKE_PORT = 8088
DEFAULT_BOARD_PORT = 8090
_LOOK_S = 0.5


def up(
    data: Annotated[Path, typer.Option("--data", help="Directory for data and logs.")] = DEFAULT_DATA,
    port: Annotated[int, typer.Option("--port", min=1, max=65535, help="Port of Kafka.")] = DEFAULT_PORT,
    mapping: Annotated[
        Path | None,
        typer.Option("--mapping", exists=True, help="Mapping file of the intake; default: JSON with a token."),
    ] = None,
    intake_port: Annotated[
        int, typer.Option("--intake-port", min=1, max=65535, help="Port of the intake.")
    ] = DEFAULT_INTAKE_PORT,
    notify: Annotated[
        Path | None, typer.Option("--notify", exists=True, help="Routing file; starts a notifier as well.")
    ] = None,
    board: Annotated[bool, typer.Option("--board/--no-board", help="Whether to run the board.")] = True,
    board_port: Annotated[
        int, typer.Option("--board-port", min=1, max=65535, help="Port of the board.")
    ] = DEFAULT_BOARD_PORT,
) -> None:
    """Run an embedded broker, a worker, an intake and the board on this machine until Ctrl-C; data and state are kept
    for the next run. With --notify FILE also a notifier."""
    stop = threading.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: stop.set())
    # Some supervisors ignore SIGCHLD, which children inherit: the exit code of every process would then read as 0.
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    try:
        _check_ports({"--port": port, "--intake-port": intake_port} | ({"--board-port": board_port} if board else {}))
        _make(data)
        with Stack(data, port=port) as stack:
            stack.apply_topics()
            stack.start_worker(stop=stop)
            with ExitStack() as services:
                intake = services.enter_context(LocalIntake(stack.bootstrap, data, mapping, intake_port, stop))
                running: list[LocalService] = [intake]
                if notify is not None:
                    notifier = services.enter_context(LocalNotifier(stack.bootstrap, data, notify, stop))
                    running.append(notifier)
                local_board = None
                if board:
                    local_board = services.enter_context(LocalBoard(stack.bootstrap, data, board_port, stop))
                    running.append(local_board)
                print(f"Kafka        {stack.bootstrap}   data in {stack.broker.data_dir}")
                print(f"worker       ready at http://127.0.0.1:{stack.health_port}/ready, log in {stack.log}")
                print(f"intake       ready at {intake.url}/ready, mapping {intake.mapping}, log in {intake.log}")
                if notify is not None:
                    print(f"notifier     ready at {notifier.url}/ready, routes {notify}, log in {notifier.log}")
                if local_board is not None:
                    print(f"board        {local_board.url}, log in {local_board.log}")
                    print(*local_board.how_to_sign_in(), sep="\n")
                print(f"publish      sla publish FILE --brokers {stack.bootstrap}")
                print(f"look         sla tail alerts incidents credits --brokers {stack.bootstrap}")
                print("Ctrl-C stops all of them.", flush=True)
                _watch(stack, running, stop)
            print("stopping", flush=True)
            if code := stack.stop_worker():
                raise StackError(f"the worker ended with code {code} when it was stopped; see {stack.log}")
    except StackStopped:
        print("stopped before it was ready", flush=True)
    except (BrokerError, StackError, OSError) as error:
        print(f"error: {error}", file=sys.stderr)
        raise typer.Exit(2) from error


def _make(data: Path) -> None:
    """Raises StackError."""
    try:
        data.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise StackError(f"{data} can't be made: {error.strerror}; --data names another directory") from error


def _check_ports(ports: Mapping[str, int]) -> None:
    """Before Kafka starts, which takes a while. Raises StackError, BrokerError."""
    for number, option in enumerate(ports):
        if (other := next((each for each in list(ports)[:number] if ports[each] == ports[option]), None)) is not None:
            raise StackError(f"{other} and {option} are both {ports[option]}: choose another port")
    for command, option in (("intake", "--intake-port"), ("board", "--board-port")):
        if option in ports:
            check_service_port(command, ports[option])


def _watch(stack: Stack, services: Sequence[LocalService], stop: threading.Event) -> None:
    """Run until SIGTERM or Ctrl-C. Raises StackError when a process has ended by itself; one that ended just before
    the signal too. Ctrl-C reaches all of them, so that code 0 is no failure then."""
    stopping = False
    while not stopping:
        stopping = stop.wait(_LOOK_S)
        processes = [("the worker", stack.worker_code(), stack.log)]
        processes += [(f"sla {each.command}", each.code(), each.log) for each in services]
        for name, code, log in processes:
            if code is not None and (code != 0 or not stopping):
                raise StackError(f"{name} ended with code {code}; see {log}")
        if not stopping and not stack.broker.alive:
            raise StackError(f"Kafka ended; see {stack.broker.data_dir / 'broker.log'}")
