"""Ids in addresses: an id may contain slashes, so addresses are split before they are decoded."""

from __future__ import annotations

from urllib.parse import quote, unquote

from fastapi import Request


def raw_path(request: Request) -> str:
    """The path of a request as it was sent: what is escaped stays so."""
    raw: bytes = request.scope.get("raw_path") or quote(request.url.path).encode()
    return raw.decode("ascii", "replace").partition("?")[0]


def path_segments(request: Request) -> list[str]:
    """The decoded segments of the address, without the query: `/tenants/a%2Fb/2026-01` has tenants, a/b, 2026-01."""
    return [unquote(segment) for segment in raw_path(request).strip("/").split("/")]
