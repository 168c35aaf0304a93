"""What the JVM learned from one start of Kafka: with it, later starts take a third of the processor time.

`make_startup_cache` makes the file beside the jars, once for each Java, Kafka and set of options. Every start uses the
file when it is there and needs nothing of it: Java checks it and runs without it when it does not fit or is damaged.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import subprocess
import sys
import tempfile
from pathlib import Path

from cli.embedded_kafka.broker import start_broker
from cli.embedded_kafka.jars import kafka_jars
from cli.embedded_kafka.node_files import BrokerError, java_command, java_environment, startup_cache_of

#: Ten seconds of a quiet machine; a busy one may take minutes.
_ASSEMBLING_S = 600.0
_RETAINED = 3


def make_startup_cache() -> Path | None:
    """Makes the file unless it is there; about ten seconds. None when it cannot be made: starts then take longer.

    Processes that ask at the same time wait for one of them. The file enters its place only when complete. A process
    that cannot make it leaves an empty file in its place, so that the next one does not try again; one that has not
    enough time for it leaves none.
    """
    try:
        jars = kafka_jars()
        made = startup_cache_of(jars)
        with (made.parent / "startup.lock").open("w") as turn:
            fcntl.flock(turn, fcntl.LOCK_EX)
            if not made.exists():
                _make(jars, made)
            return made if made.stat().st_size else None
    except (BrokerError, OSError, subprocess.TimeoutExpired):
        return None


def _make(jars: list[Path], made: Path) -> None:
    with tempfile.TemporaryDirectory(prefix="startup-", dir=made.parent) as folder:
        recorded, assembled = Path(folder) / "recorded", Path(folder) / "assembled"
        with contextlib.suppress(BrokerError, subprocess.CalledProcessError):
            with start_broker(Path(folder) / "kafka", java=("-XX:AOTMode=record", f"-XX:AOTConfiguration={recorded}")):
                pass
            subprocess.run(
                java_command(
                    jars,
                    "kafka.Kafka",
                    java=("-XX:AOTMode=create", f"-XX:AOTConfiguration={recorded}", f"-XX:AOTCache={assembled}"),
                ),
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
                cwd=made.parent,
                env=java_environment(os.environ),
                timeout=_ASSEMBLING_S,
                check=True,
            )
        if not assembled.exists():
            assembled.touch()
        assembled.replace(made)
    earlier = sorted(made.parent.glob("startup-*.aot"), key=lambda path: path.stat().st_mtime)
    for path in earlier[:-_RETAINED]:  # of other versions; a running Kafka keeps what it has
        path.unlink(missing_ok=True)


def main() -> int:
    """`python -m cli.embedded_kafka.startup_cache`: makes the file, and says where it is."""
    made = make_startup_cache()
    print(made or "Kafka starts without: the file could not be made", file=sys.stdout if made else sys.stderr)
    return 0 if made else 1


if __name__ == "__main__":
    sys.exit(main())
