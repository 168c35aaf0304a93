"""Files that follow from tables in the code: written, or checked to be current."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Final

ROOT: Final = Path(__file__).resolve().parents[2]


def write_or_check(files: Mapping[str, str], program: str, *, check: bool) -> int:
    """Write each file, path from the project's root and text, or only say which differ; the exit code. `program` is the
    module that writes them."""
    code = 0
    for name, text in files.items():
        path = ROOT / name
        if not check:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text, encoding="utf-8")
        elif not path.exists() or path.read_text(encoding="utf-8") != text:
            print(f"{name} is out of date: run python -m {program}")
            code = 1
    return code
