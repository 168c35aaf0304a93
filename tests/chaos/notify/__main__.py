"""Notifiers under faults in virtual time: `python -m tests.chaos.notify --seeds 100:200 --profile cut,zombie`.

A seed and a profile are one run, the same in every process. `--seeds 119 --profile cut --trace` tells all of it.
"""

from __future__ import annotations

import argparse
import gc
import os
import sys
import time
from collections import Counter
from collections.abc import Iterable

from . import trace
from .checks import Problem
from .faults import PROFILES
from .world import World

_SHOWN = 4


def main(arguments: list[str] | None = None) -> int:
    """The command line; 1 if a run failed."""
    parser = argparse.ArgumentParser(prog="python -m tests.chaos.notify", description=__doc__)
    parser.add_argument("--seeds", default="0:10", help="first:end, or one")
    parser.add_argument("--profile", default="mixed", help=f"several with commas: {', '.join(PROFILES)}; or all")
    parser.add_argument("--trace", action="store_true", help="of one seed and profile: print what happens")
    parser.add_argument("--incident", default="", help="with --trace: lines about this incident, and faults")
    options = parser.parse_args(arguments)
    profiles = list(PROFILES) if options.profile == "all" else options.profile.split(",")
    if unknown := set(profiles) - set(PROFILES):
        parser.error(f"unknown profile {min(unknown)}; allowed: {', '.join(PROFILES)}")
    first, _, end = options.seeds.partition(":")
    seeds = range(int(first), int(end) if end else int(first) + 1)
    if options.trace:
        return _trace(seeds[0], profiles[0], options.incident)
    return _run_all([(seed, profile) for seed in seeds for profile in profiles])


def _trace(seed: int, profile: str, incident: str) -> int:
    world = World(seed, profile, trace=True)
    verdict = world.run()
    for line in trace.lines_of(world, incident):
        print(line)
    for each in verdict.problems:
        print(each)
    return int(any(not each.known for each in verdict.problems))


def _run_all(runs: list[tuple[int, str]]) -> int:
    gc.collect()
    gc.freeze()  # what was imported is not looked at again
    failed, known, counts = 0, Counter[str](), Counter[str]()
    started = time.monotonic()
    for number, (seed, profile) in enumerate(runs, 1):
        verdict = World(seed, profile).run()
        counts += verdict.counts
        known.update(each.known for each in verdict.problems if each.known)
        if problems := [each for each in verdict.problems if not each.known]:
            failed += 1
            _report(seed, profile, problems)
        gc.collect()
        rate = number / max(time.monotonic() - started, 1e-9) * 60
        print(f"\r{number}/{len(runs)} runs, {failed} failed, {rate:.0f} a minute ", end="", file=sys.stderr)
    print(file=sys.stderr)
    print(", ".join(f"{what} {times}" for what, times in sorted(counts.items())))
    if known:
        print("as documented:", ", ".join(f"{what} {times}" for what, times in sorted(known.items())))
    print(f"{failed} of {len(runs)} runs failed")
    return int(failed > 0)


def _report(seed: int, profile: str, problems: Iterable[Problem]) -> None:
    shown = list(dict.fromkeys(map(str, problems)))
    print(f"\rpython -m tests.chaos.notify --seeds {seed} --profile {profile} --trace")
    for each in shown[:_SHOWN]:
        print(f"  {each}")
    if len(shown) > _SHOWN:
        print(f"  and {len(shown) - _SHOWN} more", flush=True)


if __name__ == "__main__":
    if os.environ.get("PYTHONHASHSEED") != "0":  # sets of names are walked in the same order in every run
        os.environ["PYTHONHASHSEED"] = "0"
        os.execv(sys.executable, [sys.executable, "-m", "tests.chaos.notify", *sys.argv[1:]])
    sys.exit(main())
