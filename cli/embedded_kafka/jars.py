"""The jars of Apache Kafka: pinned in kafka-jars.lock, fetched once with jgo, checked at every use."""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import os
import shutil
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from rich.console import Console
from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TransferSpeedColumn

from cli.embedded_kafka.node_files import BrokerError, plain_errors

KAFKA_VERSION = "4.3.1"
LOCK_FILE = Path(__file__).with_name("kafka-jars.lock")
# slf4j-simple writes Kafka's log to standard error; its version is that of the slf4j-api Kafka brings.
_COORDINATES = f"org.apache.kafka:kafka_2.13:{KAFKA_VERSION}+org.slf4j:slf4j-simple:1.7.36"
_TRIES = 3

Arrived = Callable[[int], None]


@dataclass(frozen=True, slots=True)
class Jar:
    """One line of the lock file."""

    group: str
    artifact: str
    version: str
    size: int  # bytes
    sha256: str

    @property
    def name(self) -> str:
        return f"{self.artifact}-{self.version}.jar"


def read_lock(path: Path = LOCK_FILE) -> list[Jar]:
    """The pinned jars, in class path order."""
    jars = []
    for line in path.read_text("utf-8").splitlines():
        if line and not line.startswith("#"):
            coordinate, size, sha256 = line.split()
            group, artifact, version = coordinate.split(":")
            jars.append(Jar(group, artifact, version, int(size), sha256))
    return jars


def default_cache(environ: Mapping[str, str] = os.environ) -> Path:
    """$SLA_CACHE, or sla-clocks under the user's cache directory; one directory a Kafka version."""
    base = environ.get("SLA_CACHE") or Path(environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "sla-clocks"
    return Path(base).expanduser().absolute() / f"kafka-{KAFKA_VERSION}"


def missing(jars: list[Jar], directory: Path) -> list[Jar]:
    """The jars missing in the directory. Raises BrokerError when an existing one is not the pinned one."""
    absent = []
    for jar in jars:
        path = directory / jar.name
        if not path.exists():
            absent.append(jar)
        elif (found := _sha256(path)) != jar.sha256:
            raise BrokerError(
                f"{path} is not the jar pinned in {LOCK_FILE.name} (SHA-256 {found[:12]}…, expected "
                f"{jar.sha256[:12]}…): delete {directory} and start again"
            )
    return absent


def kafka_jars(
    progress: Callable[[str], None] | None = None, directory: Path | None = None, lock_file: Path = LOCK_FILE
) -> list[Path]:
    """Kafka's class path, downloaded on first use; an interrupted download is resumed.

    Processes that start at the same time wait for one download. A jar enters the directory only when complete and
    checked: it is fetched elsewhere and renamed. `progress` gets a line from time to time; without it, a bar is drawn
    on standard error.
    """
    directory = directory or default_cache()
    jars = read_lock(lock_file)
    with plain_errors("cache directory", directory):
        if missing(jars, directory):
            directory.mkdir(parents=True, exist_ok=True)
            with (directory / "download.lock").open("w") as turn:
                fcntl.flock(turn, fcntl.LOCK_EX)
                if absent := missing(jars, directory):  # another process may have been faster
                    _download(absent, directory, progress)
    return [directory / jar.name for jar in jars]


def _download(jars: list[Jar], directory: Path, progress: Callable[[str], None] | None) -> None:
    part = directory / "part"
    shutil.rmtree(part, ignore_errors=True)
    show = _bar(jars) if progress is None else _lines(jars, progress)
    with show as arrived, ThreadPoolExecutor(6) as pool:
        fetches = [pool.submit(_fetch, jar, part / jar.name, directory, arrived) for jar in jars]
        try:
            for fetch in fetches:
                fetch.result()
        except BaseException:
            pool.shutdown(cancel_futures=True)
            raise
    shutil.rmtree(part, ignore_errors=True)


def _fetch(jar: Jar, staging: Path, directory: Path, arrived: Arrived) -> None:
    for attempt in range(1, _TRIES + 1):
        shutil.rmtree(staging, ignore_errors=True)
        try:
            fetched = _resolve(jar, staging, arrived)
        except (RuntimeError, OSError) as error:
            # jgo's network errors are OSErrors without a number; those with one are the machine's own.
            if isinstance(error, OSError) and error.errno is not None:
                raise
            if attempt == _TRIES:
                raise BrokerError(
                    f"cannot download {jar.name} ({type(error).__name__}): Apache Kafka {KAFKA_VERSION} is fetched "
                    f"once from Maven Central into {directory}; check the network, its proxy and certificates, "
                    "or copy that directory from a machine that has it"
                ) from error
            continue
        found = _sha256(fetched)
        if found == jar.sha256:
            os.replace(fetched, directory / jar.name)
            return
    raise BrokerError(
        f"{jar.name} as downloaded is not the jar pinned in {LOCK_FILE.name} (SHA-256 {found[:12]}…, expected "
        f"{jar.sha256[:12]}…): the download was altered on its way; check proxy and mirror settings, then start again"
    )


def _resolve(jar: Jar, staging: Path, arrived: Arrived) -> Path:
    """The jar, fetched by jgo into `staging`, or found in the user's own Maven repository."""
    from jgo.config import GlobalSettings
    from jgo.constants import MAVEN_CENTRAL_URL
    from jgo.maven import MavenContext, PythonResolver

    @contextlib.contextmanager
    def each_file(_name: str, _size: int) -> Iterator[Arrived]:
        yield arrived

    # A mirror under the name "central" in the user's jgo settings takes the place of the public repository.
    repositories = {"central": MAVEN_CENTRAL_URL, **GlobalSettings.load().repositories}
    maven = MavenContext(
        resolver=PythonResolver(progress_callback=each_file), repo_cache=staging, remote_repos=repositories
    )
    component = maven.project(jar.group, jar.artifact).at_version(jar.version)
    return Path(component.artifact().resolve())


@contextlib.contextmanager
def _bar(jars: list[Jar]) -> Iterator[Arrived]:
    columns = (TextColumn("{task.description}"), BarColumn(), DownloadColumn(), TransferSpeedColumn())
    with Progress(*columns, console=Console(stderr=True)) as bar:
        task = bar.add_task(f"Apache Kafka {KAFKA_VERSION}, once", total=sum(jar.size for jar in jars))
        yield lambda count: bar.update(task, advance=count)


@contextlib.contextmanager
def _lines(jars: list[Jar], progress: Callable[[str], None]) -> Iterator[Arrived]:
    total, done, reported_percent = sum(jar.size for jar in jars), 0, 0
    progress(f"downloading Apache Kafka {KAFKA_VERSION}, once: {total / 1e6:.0f} MB")

    def arrived(count: int) -> None:
        nonlocal done, reported_percent
        done += count
        if (percent := 100 * done // total) >= reported_percent + 25:
            reported_percent = percent
            progress(f"downloading Apache Kafka {KAFKA_VERSION}: {done / 1e6:.0f} of {total / 1e6:.0f} MB")

    yield arrived


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def write_lock(path: Path = LOCK_FILE) -> None:
    """Resolves Kafka anew and pins the result: for maintainers, after a change of the version."""
    import tempfile

    import jgo

    lines = [
        f"# Apache Kafka {KAFKA_VERSION} and what it needs: coordinate, bytes, SHA-256.",
        "# Written by `python -m cli.embedded_kafka.jars`; jars that differ are refused.",
    ]
    with tempfile.TemporaryDirectory() as staging:
        for found in sorted(jgo.resolve(_COORDINATES), key=lambda artifact: (artifact.groupId, artifact.artifactId)):
            unpinned = Jar(found.groupId, found.artifactId, found.version, 0, "")
            file = _resolve(unpinned, Path(staging), lambda _count: None)
            lines.append(f"{found.groupId}:{found.artifactId}:{found.version} {file.stat().st_size} {_sha256(file)}")
    path.write_text("\n".join(lines) + "\n", "utf-8")


if __name__ == "__main__":
    write_lock()
