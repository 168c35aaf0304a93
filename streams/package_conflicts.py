"""Finds other installed distributions that contain one of our top-level packages (docs/adr/0004)."""

from __future__ import annotations

from importlib.metadata import packages_distributions

DISTRIBUTION = "sla-clocks"
PACKAGES = ("agents", "board", "cli", "connect", "schemas", "streams")


def package_conflicts() -> list[str]:
    """One line for each installed distribution, other than this one, that owns a package of ours; empty when fine.

    Installers overwrite each other's files without a warning, so a worker checks this before it starts.
    """
    owners = packages_distributions()
    return [
        f"the installed distribution {owner!r} also contains the package {package!r}: uninstall it"
        for package in PACKAGES
        for owner in sorted(set(owners.get(package, ())))
        if owner.lower().replace("_", "-") != DISTRIBUTION
    ]
