"""Runs Kafka for a parent process and ends it when the parent has ended for any reason: `watchdog.py FD ORPHAN --
JAVA…`.

The parent holds the other end of this program's standard input. That closes when the parent exits, crashes or is
killed -9, on every Unix; a copy of it kept open by some forked child does no harm, since the parent's id is watched
too. FD is the claim on the data directory, passed on to Kafka. ORPHAN is a directory to remove when the parent is
gone, or `-`. Standard library only, and started with -I -S: it must be up in milliseconds.
"""

import contextlib
import os
import select
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable

_GRACE_S = 5.0
_LOOK_S = 0.5
_PR_SET_PDEATHSIG = 1


def _die_with_me() -> Callable[[], None] | None:
    """On Linux, the kernel kills Kafka when this program is killed. This is safe because it has a single thread."""
    if not sys.platform.startswith("linux"):
        return None
    import ctypes

    prctl = ctypes.CDLL(None).prctl
    return lambda: prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)


def main(arguments: list[str]) -> int:
    claim, orphan, _, *command = arguments
    parent = os.getppid()
    alive, write_end = os.pipe()  # reads as closed as soon as Kafka has ended
    kafka = subprocess.Popen(
        command,
        stdin=subprocess.DEVNULL,
        stdout=sys.stderr,
        pass_fds=(int(claim), write_end),
        preexec_fn=_die_with_me(),  # noqa: PLW1509
    )
    os.close(write_end)
    signal.signal(signal.SIGTERM, lambda *_: kafka.terminate())
    with contextlib.suppress(BrokenPipeError):
        print(kafka.pid, flush=True)
    while True:
        readable, _, _ = select.select([sys.stdin, alive], [], [], _LOOK_S)
        if alive in readable:
            return kafka.wait()
        if sys.stdin in readable or os.getppid() != parent:
            break
    kafka.terminate()
    try:
        kafka.wait(_GRACE_S)
    except subprocess.TimeoutExpired:
        kafka.kill()
        kafka.wait()
    if orphan != "-":
        shutil.rmtree(orphan, ignore_errors=True)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
