"""`python -m tests.faults`: every fault on a real broker, scenario by scenario, judged after each.

    python -m tests.faults [--seed N] [--only NAME…] [--short] [--jobs N] [--keep DIR] [--report FILE] [--from REVISION]

Three scenarios run at a time, each on a broker of its own: most of their time is waiting.

Exit code 1 when any scenario has a problem; the line that replays it is printed.
"""

from __future__ import annotations

import argparse
import os
import secrets
import shutil
import sys
import tempfile
import time
from pathlib import Path

from cli.embedded_kafka.startup_cache import make_startup_cache

from .run import Result
from .scenarios import SCENARIOS, play
from .upgrading import REVISION


def main() -> int:
    parser = argparse.ArgumentParser(
        prog="python -m tests.faults", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--seed", type=int, help="draws everything; default: a new one, which is printed")
    parser.add_argument("--only", nargs="+", choices=SCENARIOS, metavar="NAME", help=f"of: {', '.join(SCENARIOS)}")
    parser.add_argument("--short", action="store_true", help="few of each fault")
    parser.add_argument("--jobs", type=int, default=3, help="scenarios at a time (3)")
    parser.add_argument("--keep", type=Path, help="keep logs and data here")
    parser.add_argument(
        "--from",
        dest="revision",
        help="what rolling-upgrade upgrades from: a revision of this repository (the last release, else HEAD~20)",
    )
    parser.add_argument("--report", type=Path, help="write the figures as a Markdown table")
    options = parser.parse_args()
    seed = secrets.randbelow(1_000_000) if options.seed is None else options.seed
    if options.revision is not None:
        os.environ[REVISION] = options.revision
    print(f"seed {seed}", flush=True)
    make_startup_cache()
    folder = options.keep or Path(tempfile.mkdtemp(prefix="sla-faults-"))
    results = []
    began = time.monotonic()
    for result in play(options.only or list(SCENARIOS), seed, folder, short=options.short, jobs=options.jobs):
        results.append(result)
        print(line_of(result), flush=True)
        for problem in result.problems:
            print(f"    {problem}", flush=True)
        if result.problems:
            print(f"    again: python -m tests.faults --seed {seed} --only {result.name}{' --short' * options.short}")
    if options.report is not None:
        options.report.write_text(table_of(results, seed), encoding="utf-8")
    bad = sum(bool(result.problems) for result in results)
    faults = sum(sum(result.faults.values()) for result in results)
    inputs = sum(result.counts["inputs"] for result in results)
    took = time.monotonic() - began
    print(f"{len(results) - bad} of {len(results)} scenarios held; {faults} faults, {inputs:,} events, {took:.0f} s")
    if not bad and options.keep is None:
        shutil.rmtree(folder, ignore_errors=True)
    elif bad:
        print(f"logs are in {folder}")
    return 1 if bad else 0


def table_of(results: list[Result], seed: int) -> str:
    """The figures as docs/guarantees.md shows them."""
    rows = [f"| scenario (seed {seed}) | faults | events in / out | longest gap |", "|---|---|---|---|"]
    for result in results:
        faults = "; ".join(f"{count} {what}" for what, count in result.faults.items())
        events = f"{result.counts['inputs']:,} / {result.counts['outputs']:,}"
        held = "" if not result.problems else " **failed**"
        rows.append(f"| `{result.name}`{held} | {faults} | {events} | {result.gap_s:.1f} s |")
    return "\n".join(rows) + "\n"


def line_of(result: Result) -> str:
    """One scenario in one line."""
    faults = ", ".join(f"{count} × {what}" for what, count in result.faults.items())
    figures = ", ".join(f"{count:,} {what}" for what, count in result.counts.items())
    held = "held" if not result.problems else "FAILED"
    return f"{result.name}: {held} in {result.seconds:.0f} s, longest gap {result.gap_s:.1f} s; {faults}; {figures}"


if __name__ == "__main__":
    sys.exit(main())
