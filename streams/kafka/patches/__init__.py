"""Changes to private parts of aiokafka: applied to the version they are written for, skipped on any other.

Each module has `apply`; its docstring says what is lost without it. A skipped patch is logged once as
`aiokafka_patch_skipped`.
"""

from __future__ import annotations

from importlib import import_module
from typing import Final

import aiokafka
import structlog

#: The aiokafka versions that the patches are written for.
SUPPORTED: Final = "0.14."
PATCHES: Final = ("header_names", "bootstrap_cause", "rebootstrap")

_applied: dict[str, bool] = {}


def applied(patch: str) -> bool:
    """Whether a patch is in force; tries to apply it when first asked."""
    if patch not in _applied:
        _applied[patch] = _apply(patch)
    return _applied[patch]


def apply_all() -> None:
    """Apply every patch that fits, once per process."""
    for patch in PATCHES:
        applied(patch)


def _apply(patch: str) -> bool:
    if not aiokafka.__version__.startswith(SUPPORTED):
        return _skipped(patch, f"written for aiokafka {SUPPORTED}x")
    try:
        import_module(f"{__name__}.{patch}").apply()
    except (ImportError, AttributeError) as error:
        return _skipped(patch, str(error))
    return True


def _skipped(patch: str, reason: str) -> bool:
    logger = structlog.get_logger(__name__)
    logger.warning("aiokafka_patch_skipped", patch=patch, aiokafka=aiokafka.__version__, reason=reason)
    return False
