"""Files that come with the product beside its packages: policies and the demo's history."""

from __future__ import annotations

import sysconfig
from pathlib import Path


def shipped(*names: str) -> Path:
    """A file or folder by its place in the project: that of a checkout, else that of the installation."""
    checkout = Path(__file__).resolve().parents[1].joinpath(*names)
    if checkout.exists():
        return checkout
    return Path(sysconfig.get_path("data")).joinpath("share", "sla-clocks", *names)
