"""What the JVM learned from one start of Kafka: with it, later starts take a third of the processor time.

`make_startup_cache` makes the file beside the jars, once for each Java, Kafka and set of options. Every start uses the
file when it is there and needs nothing of it: Java checks it and runs without it when it does not fit or is damaged.
"""

from __future__ import annotations

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
_ATTEMPTS = 2
#: A file beside the jars: why the last attempt failed.
REASON = "startup-failed.txt"


def make_startup_cache() -> Path | None:
    """Makes the file unless it is there; about ten seconds. None when it cannot be made: starts then take longer.

    Processes that ask at the same time wait for one of them. The file enters its place only when complete. A process
    that cannot make it, twice, leaves an empty file in its place, so that the next one does not try again, and the
    reason in the file `startup-failed.txt`; one that has not enough time for it leaves none.
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
        for attempt in range(_ATTEMPTS):
            try:
                assembled = _assembled(jars, Path(folder) / str(attempt))
                break
            except (BrokerError, subprocess.CalledProcessError) as error:
                stderr = getattr(error, "stderr", None) or b""
                (made.parent / REASON).write_text(f"{error}\n{stderr.decode('utf-8', 'replace')}", "utf-8")
        else:
            assembled = Path(folder) / "none"
            assembled.touch()
        assembled.replace(made)
    earlier = sorted(made.parent.glob("startup-*.aot"), key=lambda path: path.stat().st_mtime)
    for path in earlier[:-_RETAINED]:  # of other versions; a running Kafka keeps what it has
        path.unlink(missing_ok=True)


def _assembled(jars: list[Path], folder: Path) -> Path:
    """The file, made in a folder of its own."""
    folder.mkdir()
    recorded, assembled = folder / "recorded", folder / "assembled"
    broker = start_broker(folder / "kafka", java=("-XX:AOTMode=record", f"-XX:AOTConfiguration={recorded}"))
    broker.stop(within_s=_ASSEMBLING_S)  # it writes what it has recorded when it ends
    subprocess.run(
        java_command(
            jars,
            "kafka.Kafka",
            java=("-XX:AOTMode=create", f"-XX:AOTConfiguration={recorded}", f"-XX:AOTCache={assembled}"),
        ),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        cwd=jars[0].parent,
        env=java_environment(os.environ),
        timeout=_ASSEMBLING_S,
        check=True,
    )
    if not assembled.exists():
        raise BrokerError("Java made no file, and said nothing")
    return assembled


def main() -> int:
    """`python -m cli.embedded_kafka.startup_cache`: makes the file, and says where it is."""
    made = make_startup_cache()
    print(made or "Kafka starts without: the file could not be made", file=sys.stdout if made else sys.stderr)
    return 0 if made else 1


if __name__ == "__main__":
    sys.exit(main())
