"""Records golden histories anew: `python -m tests.replay.record [NAME…]`; an entry in CHANGELOG.md says why."""

from __future__ import annotations

import sys

from tests.replay.recorded_histories import GOLDENS


def main(names: list[str]) -> int:
    """Write what is said now. Returns 2 when there is no history of a name."""
    unknown = sorted(set(names) - {golden.name for golden in GOLDENS})
    if unknown:
        print(f"no history {', '.join(unknown)}; there are {', '.join(golden.name for golden in GOLDENS)}")
        return 2
    for golden in GOLDENS:
        if names and golden.name not in names:
            continue
        now = golden.play()
        before = golden.output.read_bytes() if golden.output.exists() else None
        golden.output.write_bytes(now)
        print(f"{golden.name}: {'the same' if before == now else 'recorded'}, {len(now.splitlines())} outputs")
    return 0


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
