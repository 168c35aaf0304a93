"""The board's static files under addresses that contain a digest of their content, so browsers cache them for good."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from fastapi import APIRouter, HTTPException, Response

from board.access.requirement import open_to_all

DIRECTORY = Path(__file__).parent / "static"
_TYPES = {
    ".css": "text/css; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".svg": "image/svg+xml",
}
_FOR_GOOD = "public, max-age=31536000, immutable"


@dataclass(frozen=True, slots=True)
class StaticFiles:
    """Content by path, such as `board.css`. One digest stands for all files, so modules can import each other by
    relative addresses."""

    digest: str
    files: dict[str, bytes]

    def url(self, path: str) -> str:
        """The address of a file. Raises KeyError for one that does not exist."""
        self.files[path]
        return f"/static/{self.digest}/{path}"


@cache
def static_files() -> StaticFiles:
    """The files of this version, read once."""
    paths = sorted(path for path in DIRECTORY.rglob("*") if path.suffix in _TYPES)
    files = {path.relative_to(DIRECTORY).as_posix(): path.read_bytes() for path in paths}
    total = hashlib.sha256()
    for name, content in files.items():
        total.update(f"{name}\0{len(content)}\0".encode())
        total.update(content)
    return StaticFiles(total.hexdigest()[:16], files)


router = APIRouter(include_in_schema=False, dependencies=[open_to_all()])


@router.get("/static/{digest}/{path:path}")
def static_file(digest: str, path: str) -> Response:
    """A static file. Of another version's digest the present file is sent, and not cached."""
    found = static_files()
    content = found.files.get(path)
    if content is None:
        raise HTTPException(404)
    caching = _FOR_GOOD if digest == found.digest else "no-cache"
    return Response(content, media_type=_TYPES[Path(path).suffix], headers={"Cache-Control": caching})
