"""Hundreds of small worlds in which everything goes wrong, and every broken runtime is found out by them.

CHAOS_BASE and CHAOS_SEEDS choose other seeds: `CHAOS_BASE=$RANDOM python -m pytest tests/chaos`.
"""

from __future__ import annotations

import os
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest

from .mutants import MUTANTS
from .simulation import play, replay_command

BASE = int(os.environ.get("CHAOS_BASE", "0"))
SEEDS = int(os.environ.get("CHAOS_SEEDS", "150"))
CHUNK = 50
WITHIN = 150
"""A mutant is found within so many seeds, from 0 on."""


@pytest.mark.parametrize("base", range(BASE, BASE + SEEDS, CHUNK))
def test_nothing_lost_nothing_doubled_nothing_early(base: int) -> None:
    print(f"seeds from {base}")
    counts: Counter[str] = Counter()
    for seed in range(base, min(base + CHUNK, BASE + SEEDS)):
        verdict = play(seed)
        assert not verdict.problem, f"{verdict.problem}\n{replay_command(seed)} --trace"
        counts += verdict.counts
    assert all(counts[what] for what in ("killed", "paused", "thawed", "doubled", "restarted", "retired")), counts


@pytest.mark.parametrize("mutant", MUTANTS)
def test_a_broken_runtime_is_found_out(mutant: str) -> None:
    assert any(play(seed, mutant).problem for seed in range(WITHIN)), f"{mutant} does as well as the real one"


def test_a_seed_is_the_same_world_in_every_process() -> None:
    """Neither the order of sets nor the garbage collector has a say."""
    seed = 7
    command = [sys.executable, "-m", "tests.chaos.simulation", "--seed", str(seed), "--trace"]
    root = Path(__file__).parents[2]
    said = {
        subprocess.run(
            command, cwd=root, env={**os.environ, "PYTHONHASHSEED": number}, capture_output=True, text=True, check=True
        ).stdout
        for number in ("1", "2")
    }
    assert len(said) == 1
    assert f"digest {play(seed).digest:08x}" in said.pop()
