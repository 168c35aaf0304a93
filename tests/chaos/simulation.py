"""One seed, one world: `python -m tests.chaos.simulation --seed N [--trace]`, or `--seeds COUNT` of them."""

from __future__ import annotations

import argparse
import gc
import sys
import time
from collections import Counter

from .mutants import MUTANTS, mutated
from .plan import drawn
from .world import Simulation, Verdict


def play(seed: int, mutant: str | None = None, *, trace: bool = False) -> Verdict:
    """One seed from its first record to the oracle's word."""
    with mutated(mutant):
        return Simulation(drawn(seed), trace=trace).run()


def main(arguments: list[str] | None = None) -> int:
    """The command line; 1 if a seed failed."""
    parser = argparse.ArgumentParser(prog="python -m tests.chaos.simulation", description=__doc__)
    parser.add_argument("--seed", type=int, help="play this one")
    parser.add_argument("--seeds", type=int, default=1_000, help="play so many")
    parser.add_argument("--base", type=int, default=0, help="the first of them")
    parser.add_argument("--trace", action="store_true", help="with --seed: tell every request")
    parser.add_argument("--mutant", choices=sorted(MUTANTS), help="break the runtime in this way")
    options = parser.parse_args(arguments)
    if options.seed is not None:
        verdict = play(options.seed, options.mutant, trace=options.trace)
        print("\n".join(verdict.trace))
        print(f"seed {options.seed}: {verdict.problem or 'good'}; {verdict.steps} steps, digest {verdict.digest:08x}")
        return int(bool(verdict.problem))
    return _play_many(range(options.base, options.base + options.seeds), options.mutant)


def _play_many(seeds: range, mutant: str | None) -> int:
    gc.collect()
    gc.freeze()  # what was imported is not looked at again
    failed, counts, started, shown = 0, Counter[str](), time.monotonic(), 0.0
    for number, seed in enumerate(seeds, 1):
        verdict = play(seed, mutant)
        counts += verdict.counts
        if verdict.problem:
            failed += 1
            print(f"\rseed {seed}: {verdict.problem[:400]}\n  {replay_command(seed, mutant)} --trace")
        elapsed = time.monotonic() - started
        if elapsed > shown + 1 or number == len(seeds):
            shown = elapsed
            rate = number / max(elapsed, 1e-9) * 60
            print(f"\r{number}/{len(seeds)} seeds, {failed} failed, {rate:.0f} a minute", end="", file=sys.stderr)
    print(file=sys.stderr)
    print(", ".join(f"{what} {times}" for what, times in sorted(counts.items())))
    return int(failed > 0)


def replay_command(seed: int, mutant: str | None = None) -> str:
    """What plays a seed again."""
    return f"python -m tests.chaos.simulation --seed {seed}" + (f" --mutant {mutant}" if mutant else "")


if __name__ == "__main__":
    sys.exit(main())
