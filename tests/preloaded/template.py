"""`python -m tests.preloaded.template ADDRESS MODULE…`: imports modules once, then forks a process for each request.

It has one thread, so that nothing is held in a fork that another thread would have to let go. It ends with the run of
the tests, and a process that it forked ends with the one that asked for it.
"""

from __future__ import annotations

import atexit
import gc
import importlib
import json
import os
import runpy
import selectors
import signal
import socket
import sys
import threading
import traceback
import types
from contextlib import suppress
from pathlib import Path
from typing import Any

from tests.preloaded.session import has_ended

_LOOK_EVERY_S = 2.0


class Template:
    """Serves requests at an address."""

    def __init__(self, address: Path) -> None:
        self._folder = address.parent
        self._children: dict[int, socket.socket] = {}
        self._selector = selectors.DefaultSelector()
        self._wakened, waker = socket.socketpair()
        for end in (self._wakened, waker):
            end.setblocking(False)
        self._waker = waker
        signal.set_wakeup_fd(waker.fileno(), warn_on_full_buffer=False)
        signal.signal(signal.SIGCHLD, lambda *_: None)
        self._listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        coming = address.with_suffix(".coming")
        self._listener.bind(str(coming))
        self._listener.listen(64)
        self._selector.register(self._listener, selectors.EVENT_READ)
        self._selector.register(self._wakened, selectors.EVENT_READ)
        coming.rename(address)  # whoever sees it can connect

    def serve(self) -> None:
        """Until the run ends; what was forked ends with it, whatever ends this."""
        own = os.getpid()
        try:
            while not has_ended(self._folder):
                for key, _ in self._selector.select(_LOOK_EVERY_S):
                    if key.fileobj is self._listener:
                        self._fork(self._listener.accept()[0])
                    elif key.fileobj is self._wakened:
                        self._wakened.recv(4_096)
                    else:
                        self._asker_left(key.data)
                self._reap()
        finally:
            if os.getpid() == own:
                for pid in self._children:
                    os.kill(pid, signal.SIGKILL)

    def _fork(self, asker: socket.socket) -> None:
        try:
            size, given, _, _ = socket.recv_fds(asker, 8, 1)
            request = json.loads(_exactly(asker, int.from_bytes(size, "big")))
        except (OSError, ValueError):  # it has gone before it said what to do
            asker.close()
            return
        pid = os.fork()
        if pid == 0:
            for each in (self._listener, self._wakened, self._waker, asker, *self._children.values()):
                each.close()
            self._selector.close()
            become(request, given[0])
        os.close(given[0])
        self._children[pid] = asker
        self._selector.register(asker, selectors.EVENT_READ, pid)
        with suppress(OSError):  # the selector tells that it has gone
            asker.sendall(b"%d\n" % pid)

    def _asker_left(self, pid: int) -> None:
        """Nobody can end it any more."""
        asker = self._children.get(pid)
        if asker is not None:
            os.kill(pid, signal.SIGKILL)
            self._selector.unregister(asker)

    def _reap(self) -> None:
        while self._children:
            pid, status = os.waitpid(-1, os.WNOHANG)
            if pid == 0:
                return
            asker = self._children.pop(pid)
            if asker in {key.fileobj for key in self._selector.get_map().values()}:
                self._selector.unregister(asker)
            with asker:
                try:
                    asker.sendall(b"%d\n" % os.waitstatus_to_exitcode(status))
                except OSError:
                    continue  # the asker has gone


def _exactly(connection: socket.socket, size: int) -> bytes:
    found = b""
    while len(found) < size:
        if not (more := connection.recv(size - len(found))):
            raise ConnectionResetError("the asker has gone")
        found += more
    return found


def become(request: dict[str, Any], output: int) -> None:
    """Be the process that was asked for, to its end."""
    signal.set_wakeup_fd(-1)
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    code = 1
    try:
        os.environ.clear()
        os.environ.update(request["env"])
        os.chdir(request["cwd"])
        _take_output(output)
        run(request["program"])
        code = 0
    except SystemExit as ended:
        code = _code_of(ended)
    except KeyboardInterrupt:
        traceback.print_exc()
        code = -signal.SIGINT
    except BaseException:
        traceback.print_exc()
    _end(code)


def _take_output(output: int) -> None:
    os.dup2(output, 1)
    os.dup2(output, 2)
    os.close(output)
    at_once = bool(os.environ.get("PYTHONUNBUFFERED"))
    sys.stdout = open(1, "w", encoding="utf-8", closefd=False)  # noqa: SIM115 -- it is open to the end
    sys.stdout.reconfigure(write_through=at_once)
    sys.stderr = open(2, "w", encoding="utf-8", errors="backslashreplace", closefd=False)  # noqa: SIM115
    sys.stderr.reconfigure(line_buffering=True, write_through=at_once)
    sys.__stdout__, sys.__stderr__ = sys.stdout, sys.stderr


def run(program: list[str]) -> None:
    """As `python *program` would."""
    main = types.ModuleType("__main__")
    main.__dict__["__builtins__"] = __builtins__
    sys.modules["__main__"] = main
    sys.path[:0] = [each for each in os.environ.get("PYTHONPATH", "").split(os.pathsep) if each]
    match program:
        case ["-c", code, *arguments]:
            sys.argv = ["-c", *arguments]
            sys.path.insert(0, "")
            exec(compile(code, "<string>", "exec"), main.__dict__)
        case ["-m", module, *arguments]:
            sys.argv = [module, *arguments]
            sys.path.insert(0, str(Path.cwd()))
            runpy.run_module(module, run_name="__main__", alter_sys=True)
        case [file, *arguments]:
            sys.argv = [file, *arguments]
            sys.path.insert(0, str(Path(file).parent))
            runpy.run_path(file, run_name="__main__")


def _code_of(ended: SystemExit) -> int:
    if ended.code is None or isinstance(ended.code, int):
        return ended.code or 0
    print(ended.code, file=sys.stderr)
    return 1


def _end(code: int) -> None:
    """As the interpreter does: threads that are no daemons are waited for, then what is registered is done."""
    threading._shutdown()  # type: ignore[attr-defined]
    atexit._run_exitfuncs()
    for stream in (sys.stdout, sys.stderr):
        try:
            stream.flush()
        except (OSError, ValueError):
            code = code or 120
    if code < 0:
        signal.signal(-code, signal.SIG_DFL)
        os.kill(os.getpid(), -code)
    os._exit(code & 0xFF)


def main() -> None:
    address, *modules = sys.argv[1:]
    gc.disable()  # what is imported stays
    for module in modules:
        importlib.import_module(module)
    gc.collect()
    gc.freeze()
    gc.enable()
    template = Template(Path(address))
    if os.fork():
        os._exit(0)  # who started this one knows by its end that the other serves
    template.serve()


if __name__ == "__main__":
    main()
