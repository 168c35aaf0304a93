"""Lists of tenants that come again and again are kept once: a thousand names take 70 KiB."""

from __future__ import annotations

from functools import lru_cache
from typing import NamedTuple

FEW = 16
"""Shorter lists are not worth the search."""
_MAX_LISTS = 128


class TenantList(NamedTuple):
    """The names in their order, and as a set."""

    names: tuple[str, ...]
    members: frozenset[str]


def shared(tenants: tuple[str, ...]) -> TenantList:
    """The list, as the same object where the same one was asked for lately."""
    return TenantList(tenants, frozenset(tenants)) if len(tenants) < FEW else _shared(tenants)


@lru_cache(maxsize=_MAX_LISTS)
def _shared(tenants: tuple[str, ...]) -> TenantList:
    return TenantList(tenants, frozenset(tenants))
