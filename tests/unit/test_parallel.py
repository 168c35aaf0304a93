"""Work that is spread over processes."""

from __future__ import annotations

import signal

from streams.parallel import spread


def test_processes_of_a_pool_end_on_ctrl_c_without_a_traceback() -> None:
    """A terminal sends Ctrl-C to them, too."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)  # a background job of a script ignores it
    try:
        found = list(spread(signal.getsignal, [signal.SIGINT] * 3, 2))
    finally:
        signal.signal(signal.SIGINT, before)
    assert found == [signal.SIG_DFL] * 3
