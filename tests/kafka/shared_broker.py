"""A Kafka that all test processes of a run share. `python -m tests.kafka.shared_broker FOLDER` is its starter, which
lives until the run ends."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import time
from pathlib import Path
from typing import BinaryIO

from cli.embedded_kafka import node_files
from cli.embedded_kafka.broker import Broker, start_broker
from cli.embedded_kafka.startup_cache import make_startup_cache
from tests.preloaded.session import has_ended, one_at_a_time, shared_folder

#: Brokers of tests live for seconds or minutes: Java's second compiler would cost more than it saves.
SHORT_LIVED = ("-XX:TieredStopAtLevel=1",)
_ROOT = Path(__file__).parents[2]
_ADDRESS = "broker.txt"
_LOOK_EVERY_S = 1.0
FORMAT = Broker._format


def shared_broker() -> str:
    """Its bootstrap address; the first who asks has it started."""
    with one_at_a_time("broker"):
        address = shared_folder() / _ADDRESS
        if not address.exists():
            log = shared_folder() / "broker.log"
            with log.open("wb") as output:
                started = subprocess.run(
                    [sys.executable, "-m", "tests.kafka.shared_broker", str(shared_folder())],
                    stdin=subprocess.DEVNULL,
                    stdout=output,
                    stderr=output,
                    cwd=_ROOT,
                    check=False,
                    start_new_session=True,  # Ctrl-C ends the run, and the run's end ends it
                )
            assert started.returncode == 0, log.read_text()
        return address.read_text()


def formatted(broker: Broker, settings: Path, log: Path, log_file: BinaryIO) -> None:
    """In place of `Broker._format`: an empty data directory is the same for each single node, and takes Kafka a second
    of a processor to make; it is made once and copied."""
    node = settings.read_text().split("node.id=")[1].split()[0]
    made = shared_folder() / f"formatted-{node}"
    with one_at_a_time("format"):
        if not made.exists():
            FORMAT(broker, settings, log, log_file)
            shutil.copytree(broker.data_dir / "data", made)
            return
    shutil.copytree(made, broker.data_dir / "data", dirs_exist_ok=True)


def main(folder: Path) -> None:
    """Returns in the process that was started once Kafka is ready; another goes on."""
    make_startup_cache()
    node_files._JVM += SHORT_LIVED
    reading, writing = os.pipe()
    if os.fork():
        os.close(writing)
        os._exit(0 if os.read(reading, 1) else 1)
    os.close(reading)
    with start_broker() as running:
        (folder / _ADDRESS).write_text(running.bootstrap)
        os.write(writing, b"+")
        os.close(writing)
        while not has_ended(folder):
            time.sleep(_LOOK_EVERY_S)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
