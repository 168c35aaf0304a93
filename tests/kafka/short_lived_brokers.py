"""Brokers of tests live for seconds or minutes: what their starts have in common is done once."""

from __future__ import annotations

import os
import shutil
import tempfile
from pathlib import Path
from typing import BinaryIO

from cli.embedded_kafka.broker import Broker
from tests.preloaded.session import one_at_a_time, shared_folder

#: Java's second compiler would cost more than it saves.
SHORT_LIVED = ("-XX:TieredStopAtLevel=1",)
FORMAT = Broker._format
#: What is written there waits for no disk: neither while Kafka makes topics, nor while thousands of files are removed.
MEMORY = Path("/dev/shm")
#: Far more than the brokers of four test processes need. Many containers have 64 MiB.
ROOM_BYTES = 2 * 2**30


def formatted(broker: Broker, settings: Path, log: Path, log_file: BinaryIO) -> None:
    """In place of `Broker._format`: an empty data directory is the same for each single node, and takes Kafka a second
    of a processor to make; it is made once and copied."""
    node = settings.read_text().split("node.id=")[1].split()[0]
    made = shared_folder() / f"formatted-{node}"
    with one_at_a_time("format"):
        if not made.exists():
            FORMAT(broker, settings, log, log_file)
            coming = made.with_suffix(".coming")
            shutil.copytree(broker.data_dir / "data", coming)
            coming.rename(made)
            return
    shutil.copytree(made, broker.data_dir / "data", dirs_exist_ok=True)


def in_memory(*, prefix: str) -> str:
    """In place of `tempfile.mkdtemp`: a directory that no disk keeps, where there is room for it."""
    there = os.access(MEMORY, os.W_OK) and shutil.disk_usage(MEMORY).free >= ROOM_BYTES
    return tempfile.mkdtemp(prefix=prefix, dir=MEMORY if there else None)
