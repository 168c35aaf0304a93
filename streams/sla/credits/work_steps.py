"""Long computations in steps, so that other work comes between (R26): generators that yield between two steps."""

from __future__ import annotations

from collections.abc import Generator, Iterable
from hashlib import sha256
from typing import TypeVar

T = TypeVar("T")
Steps = Generator[None, None, T]
"""Yields between steps and returns a result."""

ITEMS_PER_STEP = 500
"""Incidents, positions or intervals that are looked at in one step: a few milliseconds."""


def finish(steps: Steps[T]) -> T:
    """Do all steps at once."""
    while True:
        try:
            next(steps)
        except StopIteration as end:
            return end.value  # type: ignore[no-any-return]


class WorkInProgress:
    """At most one timer or recheck that was begun and has steps left."""

    __slots__ = ("_due", "_steps", "_tenant")

    def __init__(self) -> None:
        self._due = 0
        self._tenant = ""
        self._steps: Steps[None] | None = None

    def __bool__(self) -> bool:
        return self._steps is not None

    @property
    def due(self) -> tuple[int, str]:
        """When it was due, and for which tenant."""
        return self._due, self._tenant

    def begin(self, due: int, tenant: str, steps: Steps[None]) -> None:
        """Begin and do the first step."""
        self._due, self._tenant, self._steps = due, tenant, steps
        self.proceed()

    def proceed(self) -> None:
        """Do the next step. Work that raises is over."""
        steps, self._steps = self._steps, None
        assert steps is not None
        for _ in steps:
            self._steps = steps
            return

    def abandon(self, tenant: str) -> int | None:
        """Leave out the steps that are left if they are a tenant's; returns when that work was due. Nothing is recorded
        of what has no result yet: it can begin anew."""
        if self._steps is None or self._tenant != tenant:
            return None
        self._steps = None
        return self._due

    def complete(self) -> None:
        """Do all steps that are left."""
        while self._steps is not None:
            self.proceed()


def digest_steps(objects: Iterable[str]) -> Steps[str]:
    """`evidence.digest_of` in steps."""
    content = sha256(b"[")
    made: list[str] = []
    separator = ""
    for item in objects:
        made.append(item)
        if len(made) == ITEMS_PER_STEP:
            content.update((separator + ",".join(made)).encode())
            separator, made = ",", []
            yield
    content.update((separator + ",".join(made) if made else "").encode())
    content.update(b"]")
    return content.hexdigest()
