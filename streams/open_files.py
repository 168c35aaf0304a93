"""How many files and connections a process may open at once."""

from __future__ import annotations

import resource

#: Enough for thousands of destinations; some systems refuse far higher limits.
_MOST = 65_536


def raise_limit() -> None:
    """Let this process open as many files as the system lets it, 65,536 at most. Shells and systemd often set a soft
    limit of 1,024, which is for programs that use `select`, below a far higher hard one."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = _MOST if hard == resource.RLIM_INFINITY else min(hard, _MOST)
    if soft != resource.RLIM_INFINITY and wanted > soft:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))
