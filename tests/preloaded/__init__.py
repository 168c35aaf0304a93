"""Python processes that start with their imports done: forked from a process that has done them once.

The imports of a worker or a board take one to four seconds of a processor, hundreds of times in a run of all tests.
`start` is for tests in which the start itself is not what is shown; it differs from `subprocess.Popen` in nothing else
that a test sees.
"""

from __future__ import annotations

from tests.preloaded.client import PreloadedProcess, start

__all__ = ["PreloadedProcess", "start"]
