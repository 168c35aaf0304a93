"""The contract is not Python's alone: the Java example reads every golden record with Apache Avro alone."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from pathlib import Path

import pytest

from cli.embedded_kafka.jars import default_cache, kafka_jars
from streams.serde.codec import decode
from streams.sla.events import Rejection

ROOT = Path(__file__).parents[2]
JAVA = ROOT / "examples" / "java"
STEMS = sorted(path.stem for path in (ROOT / "schemas" / "golden").glob("*.hex"))


@pytest.mark.skipif(
    shutil.which("javac") is None or shutil.which("java") is None,
    reason="there is no Java development kit here; the runtime that comes with the broker can't compile the example",
)
def test_java_reads_every_golden_record_as_python_does() -> None:
    jars = kafka_jars(lambda _line: None, default_cache().with_name("avro-java"), JAVA / "jars.lock")
    # A small heap and one thread of each kind: it shares the machine with other tests.
    words = ["java", "-Xmx128m", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1", "-Dslf4j.internal.verbosity=ERROR"]
    classes = os.pathsep.join(map(str, jars))
    ran = subprocess.run(
        [*words, "-cp", classes, str(JAVA / "ReadEvents.java"), str(ROOT / "schemas")],
        capture_output=True,
        text=True,
        timeout=600,
        check=False,
    )
    assert ran.returncode == 0, ran.stderr
    found = dict(line.split("\t", 1) for line in ran.stdout.splitlines())
    assert sorted(found) == STEMS
    for stem, text in found.items():
        expected = decode(bytes.fromhex((ROOT / "schemas" / "golden" / f"{stem}.hex").read_text(encoding="utf-8")))
        assert not isinstance(expected, Rejection)
        fields = json.loads(text)
        written = {
            each["name"] for each in json.loads((ROOT / "schemas" / "avro" / f"{stem}.avsc").read_text())["fields"]
        }
        assert fields.keys() == written, stem
        assert fields == {name: value for name, value in expected[1].items() if name in written}, stem
        # Python reads with the newest version of the schema, so later fields are there at their default.
        newest = max((ROOT / "schemas" / "avro").glob(f"{stem}.v*.avsc"), default=None)
        later = {} if newest is None else {each["name"]: each for each in json.loads(newest.read_text())["fields"]}
        for name in expected[1].keys() - written:
            assert expected[1][name] == later[name]["default"], (stem, name)
