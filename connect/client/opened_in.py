"""Refuses use after a fork: threads do not come along, and both processes would write to the same connections."""

from __future__ import annotations

import os

from connect.client.errors import ClientError


class ProcessOf:
    """The process that opened something."""

    def __init__(self, what: str) -> None:
        self._what = what
        self._id = os.getpid()

    @property
    def left(self) -> bool:
        """Whether this is another process, made by a fork."""
        return os.getpid() != self._id

    def check(self) -> None:
        """Raises ClientError in another process."""
        if self.left:
            raise ClientError(
                f"the {self._what} was opened before this process was forked and does not work here: open one in each "
                "process, after the fork"
            )
