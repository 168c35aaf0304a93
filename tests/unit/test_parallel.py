"""Work that is spread over processes."""

from __future__ import annotations

import signal

from streams.parallel import spread


def test_processes_of_a_pool_end_on_ctrl_c_without_a_traceback() -> None:
    """A terminal sends Ctrl-C to them, too."""
    found = list(spread(signal.getsignal, [signal.SIGINT] * 3, 2))
    assert found == [signal.SIG_DFL] * 3
