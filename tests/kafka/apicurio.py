"""A real Apicurio schema registry."""

from __future__ import annotations

import time
import urllib.request
from pathlib import Path
from typing import Self

from cli.embedded_kafka.node_files import HOST, free_port
from tests.java_program import Archive, JavaProcess, unpacked

#: 158 MB, unpacked.
_ARCHIVE = Archive(
    "io.apicurio",
    "apicurio-registry-app",
    "3.3.3",
    "8bc6751c76d963734224b01d5e7f84ccb3cb61c87d3bd77c36c35f10a5cbed63",
    "all",
)
_READY_S = 60.0


class Apicurio:
    """A running registry that keeps what it has over `kill` and `start`; it ends with this process."""

    def __init__(self, data: Path) -> None:
        self._home = unpacked(_ARCHIVE)
        self._data = data
        self._port, self._management_port = free_port(), free_port()
        self._process: JavaProcess | None = None
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
        java = ["-Xmx384m", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1"]
        arguments = [*java, *options, "-jar", "quarkus-run.jar"]
        self._process = JavaProcess(arguments, self._home, self._data / "registry.log")

    def wait(self) -> None:
        """Until it answers."""
        deadline = time.monotonic() + _READY_S
        while True:
            try:
                with urllib.request.urlopen(f"{self.url}/subjects", timeout=10):
                    return
            except OSError:
                assert self._process is not None
                assert self._process.running, f"Apicurio ended: see {self._data / 'registry.log'}"
                assert time.monotonic() < deadline, f"Apicurio is not ready: see {self._data / 'registry.log'}"
                time.sleep(0.25)

    def kill(self) -> None:
        """kill -9."""
        process, self._process = self._process, None
        if process is not None:
            process.kill()

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.kill()
