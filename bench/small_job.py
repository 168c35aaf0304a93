"""The small job in our runtime beside the raw limit: `python -m bench.peers` without the others.

python -m bench.small_job [--events 1000000] [--rounds 1]
"""

from __future__ import annotations

import sys

from bench.peers.__main__ import main

if __name__ == "__main__":
    sys.exit(main(["--only", "raw", "runtime", "--rounds", "1", *sys.argv[1:]]))
