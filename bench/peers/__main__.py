"""The same job on its peers, in one run: `python -m bench.peers`.

Every round runs each contender once, alone, from no state, over the same load on the same broker; the order rotates
from round to round. What counts is what a read_committed reader could see: the clock runs from the first tenth of the
outputs to the last. Afterwards all outputs are read and compared with what the job must say.
"""

from __future__ import annotations

import argparse
import logging
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

from bench.peers.chart import draw
from bench.peers.contenders import BASELINE, CONTENDERS, SLOW, Contender, RunOnce
from bench.peers.course import Course, lay
from bench.peers.environments import EnvironmentFailed
from bench.peers.table import ContenderRow, markdown, plain, put_between_markers, row
from bench.peers.timeline import RunFailed
from cli.embedded_kafka.broker import BrokerError, start_broker

_CHART, _PAGE = "peers.svg", "performance.md"
_FAILURES = (RunFailed, EnvironmentFailed, BrokerError, OSError, RuntimeError)


def say(text: str) -> None:
    """A line of progress; the table alone goes to standard output."""
    print(text, file=sys.stderr, flush=True)


def prepared(wanted: Sequence[Contender], problems: dict[str, list[str]]) -> dict[str, RunOnce]:
    """Those that can be run here; the others' reasons go into `problems`."""
    ready: dict[str, RunOnce] = {}
    for each in wanted:
        try:
            ready[each.name] = each.prepare(say)
        except _FAILURES as error:
            problems[each.name].append(_line(error))
            say(f"{each.name}: can't be prepared: {_line(error)}")
    return ready


def measure(
    courses: Mapping[str, Course], ready: dict[str, RunOnce], rounds: int, problems: dict[str, list[str]]
) -> list[dict[str, float]]:
    """Events a second by round and contender."""
    found: list[dict[str, float]] = []
    names = list(ready)
    for number in range(rounds):
        found.append({})
        turn = number % max(len(names), 1)
        for name in names[turn:] + names[:turn]:
            try:
                with courses[name].run(f"peers-{number + 1}-{name}") as run:
                    throughput = ready[name](courses[name], run)
                found[-1][name] = throughput.rate
                speed = f"{throughput.rate:>9,.0f} events/s, second half {throughput.drift:.2f} × first"
                say(f"round {number + 1}: {name:<14} {speed}")
            except _FAILURES as error:
                problems[name].append(_line(error))
                say(f"round {number + 1}: {name:<14} failed: {_line(error)}")
    return found


def report(folder: Path, rows: Sequence[ContenderRow], baseline: str, caption: str) -> None:
    """Draws the chart and puts the table between the page's markers."""
    (folder / _CHART).write_text(draw(rows, baseline, caption), "utf-8")
    page = folder / _PAGE
    content = f"{markdown(rows, baseline)}\n\n![the ratios as bars]({_CHART})\n\n{caption}."
    page.write_text(put_between_markers(page.read_text("utf-8"), content), "utf-8")
    say(f"written: {page} and {folder / _CHART}")


def _line(error: BaseException) -> str:
    return " ".join(str(error).split()) or type(error).__name__


def _options(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m bench.peers", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    names = [each.name for each in CONTENDERS]
    parser.add_argument("--events", type=int, default=1_000_000, help=f"in the input; the slow ones get one in {SLOW}")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--only", nargs="+", choices=names, default=names, metavar="NAME", help=", ".join(names))
    parser.add_argument("--warm", type=float, default=0.1, help="share of the events left out at either end")
    parser.add_argument("--limit", type=float, default=900.0, help="seconds that one run may take")
    parser.add_argument("--report", type=Path, metavar="DIR", help=f"where {_PAGE} has markers and {_CHART} goes")
    return parser.parse_args(arguments)


def main(arguments: Sequence[str] | None = None) -> int:
    """Prepare, measure, print; 1 when nobody gave a figure."""
    options = _options(arguments)
    logging.getLogger("aiokafka").setLevel(logging.CRITICAL)  # a topic just made is unknown for a moment
    wanted = [each for each in CONTENDERS if each.name in options.only]
    problems: dict[str, list[str]] = {each.name: [] for each in wanted}
    ready = prepared(wanted, problems)
    with start_broker() as broker:
        by_part: dict[int, Course] = {}
        for part in sorted({each.part for each in wanted if each.name in ready}):
            say(f"writing {options.events // part:,} incident events")
            by_part[part] = lay(broker, f"peers.in-{part}", options.events // part, options.warm, options.limit)
        courses = {each.name: by_part[each.part] for each in wanted if each.name in ready}
        rounds = measure(courses, ready, options.rounds, problems)
    baseline = BASELINE if BASELINE in problems else wanted[0].name
    rows = [row(each.name, each.title, each.guarantee, rounds, baseline, problems[each.name]) for each in wanted]
    caption = (
        f"{options.rounds} interleaved rounds of {options.events:,} events ({options.events // SLOW:,} for Quix "
        "Streams, Faust and the product) on one machine: median (least to most)"
    )
    print(f"{caption}\n\n{plain(rows, baseline)}")
    if options.report is not None:
        report(options.report, rows, baseline, caption)
    return 0 if any(rounds) else 1


if __name__ == "__main__":
    sys.exit(main())
