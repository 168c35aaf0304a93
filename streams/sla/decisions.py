"""Decisions that incidents and credits share: an input that changes nothing, and one that can't be applied."""

from __future__ import annotations

from typing import NamedTuple

from streams.sla.events import Rejection


class Duplicate(NamedTuple):
    """The same event arrived before; it has no effect (R1)."""


class Rejected(NamedTuple):
    """The event can't be applied (R27)."""

    rejection: Rejection
