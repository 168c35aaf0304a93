"""`python -m deploy.monitoring.generate [--check]` writes what follows from the tables of monitoring, or checks it.

That is docs/metrics.md.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

from deploy.monitoring import metrics_table

ROOT = Path(__file__).resolve().parents[2]


def files() -> Mapping[str, str]:
    """Path from the root and text of each generated file."""
    return {"docs/metrics.md": metrics_table.document()}


def main(arguments: Sequence[str]) -> int:
    """Write all files, or with --check say which differ; the exit code."""
    code = 0
    for name, text in files().items():
        path = ROOT / name
        if "--check" not in arguments:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text, encoding="utf-8")
        elif not path.exists() or path.read_text(encoding="utf-8") != text:
            print(f"{name} is out of date: run python -m deploy.monitoring.generate")
            code = 1
    return code


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
