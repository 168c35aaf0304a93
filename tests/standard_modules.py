"""How a test gives the module under test a clock, a descriptor or a resolver of its own."""

from __future__ import annotations

from types import ModuleType, SimpleNamespace
from typing import Any


def altered(module: ModuleType, **changed: Any) -> SimpleNamespace:
    """A copy of a standard module, to be set as an attribute of the module under test alone. What is changed in the
    standard module itself changes for every thread of the process: also for the servers of fixtures, whose event
    loops then wait for hours."""
    return SimpleNamespace(**{**vars(module), **changed})
