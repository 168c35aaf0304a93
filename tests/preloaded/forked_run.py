"""`pytest --processes N`: tests are collected once; N processes, forked from the one that did, run them file by file.

A process asks for a file when it has done the one before; each file is run by one process, in the order in which they
were collected. Fixtures of a session are made once in each process. A process that dies fails the test that it ran,
and another one takes the rest of its file.
"""

from __future__ import annotations

import os
import signal
import sys
import threading
import traceback
from collections import deque
from contextlib import suppress
from multiprocessing.connection import Connection, Pipe, wait
from typing import Any, NamedTuple, NoReturn

import pytest


class _Process(NamedTuple):
    pid: int
    number: int
    #: Places of tests in the session that it has been given and has not begun.
    left: deque[int]
    #: The test that it runs.
    current: list[int]


class ForkedRun:
    """A plugin that runs the tests of the session in this many processes."""

    def __init__(self, processes: int) -> None:
        self._count = processes
        self._running: dict[Connection, _Process] = {}
        self._files: deque[list[int]] = deque()

    @pytest.hookimpl(tryfirst=True)
    def pytest_runtestloop(self, session: pytest.Session) -> bool | None:
        if session.config.option.collectonly or (
            session.testsfailed and not session.config.option.continue_on_collection_errors
        ):
            return None  # pytest does what is to be done
        files: dict[object, list[int]] = {}
        for place, item in enumerate(session.items):
            files.setdefault(item.path, []).append(place)
        self._files.extend(files.values())
        session.config._tmp_path_factory.getbasetemp()  # type: ignore[attr-defined] -- theirs are in it
        try:
            for number in range(min(self._count, len(self._files))):
                self._fork(session, number)
            while self._running:
                for connection in wait(list(self._running)):
                    assert isinstance(connection, Connection)
                    self._hear(session, connection)
                if session.shouldfail or session.shouldstop:
                    self._files.clear()
        finally:
            self._end_all()
        if session.shouldfail:
            raise session.Failed(session.shouldfail)
        if session.shouldstop:
            raise session.Interrupted(session.shouldstop)
        return True

    def _fork(self, session: pytest.Session, number: int) -> None:
        assert threading.active_count() == 1, threading.enumerate()
        for stream in (sys.stdout, sys.stderr):
            stream.flush()
        ours, theirs = Pipe()
        pid = os.fork()
        if pid == 0:
            for each in (ours, *self._running):
                each.close()
            _serve(session, theirs, number)
        theirs.close()
        self._running[ours] = _Process(pid, number, deque(), [])

    def _hear(self, session: pytest.Session, connection: Connection) -> None:
        process = self._running[connection]
        hook = session.config.hook
        try:
            what, said = connection.recv()
        except EOFError:
            self._died(session, connection)
            return
        match what:
            case "next":
                file = self._files.popleft() if self._files else []
                process.left.extend(file)
                with suppress(OSError):  # that it has died is heard next
                    connection.send(file)
            case "begun":
                process.current[:] = [process.left.popleft()]
                item = session.items[said]
                hook.pytest_runtest_logstart(nodeid=item.nodeid, location=item.location)
            case "report":
                hook.pytest_runtest_logreport(
                    report=hook.pytest_report_from_serializable(config=session.config, data=said)
                )
            case "done":
                process.current.clear()
                item = session.items[said]
                hook.pytest_runtest_logfinish(nodeid=item.nodeid, location=item.location)
            case "ended":
                if said:
                    self._fail(session, "the fixtures of a session", ("", None, ""), str(said))
                del self._running[connection]
                connection.close()
                os.waitpid(process.pid, 0)

    def _died(self, session: pytest.Session, connection: Connection) -> None:
        process = self._running.pop(connection)
        connection.close()
        code = os.waitstatus_to_exitcode(os.waitpid(process.pid, 0)[1])
        if process.left and not (session.shouldfail or session.shouldstop):
            self._files.appendleft(list(process.left))
        for place in process.current:
            item = session.items[place]
            self._fail(session, item.nodeid, item.location, f"the process that ran this test ended with code {code}")
        if not process.current:
            self._fail(session, "between tests", ("", None, ""), f"a process of tests ended with code {code}")
        if self._files:
            self._fork(session, process.number)

    def _fail(self, session: pytest.Session, nodeid: str, location: tuple[str, int | None, str], why: str) -> None:
        report = pytest.TestReport(nodeid, location, {}, "failed", why, "call")
        session.config.hook.pytest_runtest_logreport(report=report)

    def _end_all(self) -> None:
        """Those that still run: the run was interrupted."""
        for connection, process in self._running.items():
            connection.close()
            with suppress(ProcessLookupError):
                os.kill(process.pid, signal.SIGINT)
        for process in self._running.values():
            os.waitpid(process.pid, 0)
        self._running.clear()


class _Reports:
    """A plugin of a forked process: the other one is told of each test."""

    def __init__(self, config: pytest.Config, connection: Connection) -> None:
        self._config = config
        self._connection = connection

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        self._connection.send(
            ("report", self._config.hook.pytest_report_to_serializable(config=self._config, report=report))
        )


def _serve(session: pytest.Session, connection: Connection, number: int) -> NoReturn:
    """Be a process of tests, to its end."""
    code = 1
    try:
        _be_apart(session.config, number)
        session.config.pluginmanager.register(_Reports(session.config, connection))
        said = None
        try:
            _run(session, connection)
        finally:
            try:
                session._setupstate.teardown_exact(None)
            except BaseException:
                said = traceback.format_exc()
        connection.send(("ended", said))
        code = 0
    except (KeyboardInterrupt, BrokenPipeError, ConnectionResetError, EOFError):
        pass  # the run is interrupted
    except BaseException:
        traceback.print_exc(file=sys.__stderr__)
    finally:
        os._exit(code)


def _run(session: pytest.Session, connection: Connection) -> None:
    while True:
        connection.send(("next", None))
        file: list[int] = connection.recv()
        for place in file:
            item = session.items[place]
            last = place == file[-1]
            connection.send(("begun", place))
            # What follows the last test of a file is any file: fixtures of the session stay.
            following: Any = session if last else session.items[file[file.index(place) + 1]]
            session.config.hook.pytest_runtest_protocol(item=item, nextitem=following)
            connection.send(("done", place))
            if session.shouldfail or session.shouldstop:
                return
        if not file:
            return


def _be_apart(config: pytest.Config, number: int) -> None:
    """What each process needs of its own: the files of captured output, a folder for `tmp_path`, no terminal."""
    capturing = config.pluginmanager.getplugin("capturemanager")
    if capturing is not None:
        capturing.stop_global_capturing()
        capturing.start_global_capturing()
    factory = config._tmp_path_factory  # type: ignore[attr-defined]
    factory._basetemp = factory.getbasetemp() / f"process-{number}-{os.getpid()}"
    factory._basetemp.mkdir(mode=0o700)
    terminal = config.pluginmanager.getplugin("terminalreporter")
    if terminal is not None:
        terminal._tw._file = open(os.devnull, "w", encoding="utf-8")  # noqa: SIM115 -- it is open to the end
