"""Driving the toy worker: topics, load, processes, and what its output must be by an independent count of the input."""

from __future__ import annotations

import contextlib
import json
import time
import urllib.error
import urllib.request
from collections import defaultdict
from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path

from kafka import KafkaConsumer, KafkaProducer, TopicPartition
from kafka.admin import KafkaAdminClient, NewTopic

from cli.embedded_kafka.node_files import free_port
from tests.preloaded import PreloadedProcess, start
from tests.preloaded.commands import IMPORTS
from tests.waiting import TIMEOUT_S, wait

WORKER = Path(__file__).with_name("toy_worker.py")
_IMPORTS = ("cli.support.quick_imports", "streams.runtime.worker", *IMPORTS["worker"][-2:])


class TopicReader:
    """Reads a topic's committed records, or all; each `read` goes on where the one before ended."""

    def __init__(self, broker: str, topic: str, partitions: int, isolation: str = "read_committed") -> None:
        self._topic = topic
        self._partitions = [TopicPartition(topic, number) for number in range(partitions)]
        self._consumer = KafkaConsumer(
            bootstrap_servers=broker, isolation_level=isolation, enable_auto_commit=False, group_id=None
        )
        self._consumer.assign(self._partitions)
        self._consumer.seek_to_beginning(*self._partitions)
        self.found = 0

    def read(self) -> list[object]:
        """What is there now."""
        ends = self._consumer.end_offsets(self._partitions)
        found: list[object] = []
        give_up = time.monotonic() + TIMEOUT_S
        while any(self._consumer.position(each) < ends[each] for each in self._partitions):
            assert time.monotonic() < give_up, f"{self._topic} cannot be read to its end"
            for records in self._consumer.poll(timeout_ms=200).values():
                found.extend(records)
        self.found += len(found)
        return found

    def close(self) -> None:
        self._consumer.close()


@dataclass
class Toy:
    """One application on the broker: topics and worker processes."""

    broker: str
    prefix: str
    agents: dict[str, list[str]]
    partitions: int = 4
    folder: Path = Path()
    workers: list[PreloadedProcess] = field(default_factory=list)
    ports: list[int] = field(default_factory=list)
    readers: dict[str, TopicReader] = field(default_factory=dict)

    def topic(self, name: str) -> str:
        return f"{self.prefix}{name}"

    def create_topics(self) -> None:
        stamped = {"message.timestamp.type": "LogAppendTime"}
        names = {self.topic(name): stamped for topics in self.agents.values() for name in topics}
        for agent in self.agents:
            names[self.topic(f"{agent}-out")] = stamped
            names[f"{self.prefix}.{agent}-changelog"] = {"cleanup.policy": "compact"}
        admin = KafkaAdminClient(bootstrap_servers=self.broker)
        admin.create_topics([NewTopic(name, self.partitions, 1, topic_configs=conf) for name, conf in names.items()])
        admin.close()

    def start_worker(self, **more: object) -> PreloadedProcess:
        port = free_port()
        options = {
            "app_id": f"{self.prefix}app",
            "broker": self.broker,
            "prefix": self.prefix,
            "partitions": self.partitions,
            "health_port": port,
            "agents": {
                agent: {"topics": [self.topic(name) for name in topics], "output": self.topic(f"{agent}-out")}
                for agent, topics in self.agents.items()
            },
            **more,
        }
        log = (self.folder / f"worker-{len(self.workers)}.log").open("wb")
        worker = start([str(WORKER), json.dumps(options)], _IMPORTS, cwd=self.folder, output=log)
        log.close()
        self.workers.append(worker)
        self.ports.append(port)
        return worker

    def log(self, number: int = -1) -> str:
        number %= len(self.workers)
        return (self.folder / f"worker-{number}.log").read_text()

    def get(self, path: str, number: int = -1) -> tuple[int, str]:
        try:
            with urllib.request.urlopen(
                f"http://127.0.0.1:{self.ports[number]}{path}", timeout=TIMEOUT_S / 2
            ) as answer:
                return answer.status, answer.read().decode()
        except urllib.error.HTTPError as error:
            return error.code, error.read().decode()
        except (urllib.error.URLError, OSError):
            return 0, ""

    def close(self) -> None:
        for worker in self.workers:
            with contextlib.suppress(ProcessLookupError):
                worker.kill()
            worker.wait()
        for reader in self.readers.values():
            reader.close()

    def load(self, name: str, numbers: range, *, keys: int = 100, rate: int | None = None) -> None:
        producer = KafkaProducer(bootstrap_servers=self.broker, linger_ms=5)
        started = time.monotonic()
        for sent, number in enumerate(numbers):
            key = number % keys
            producer.send(
                self.topic(name), key=b"k%d" % key, value=f"{name}:{number}".encode(), partition=key % self.partitions
            )
            if rate is not None and sent % 100 == 0:
                time.sleep(max(0.0, started + sent / rate - time.monotonic()))
        producer.flush()
        producer.close()

    def read(self, topic: str, isolation: str = "read_committed") -> list[object]:
        """All that is in the topic now."""
        with closing(TopicReader(self.broker, topic, self.partitions, isolation)) as reader:
            return reader.read()

    def outputs(self, agent: str) -> dict[bytes, list[dict]]:
        by_key = defaultdict(list)
        for record in self.read(self.topic(f"{agent}-out")):
            by_key[record.key].append({**json.loads(record.value), "visible": record.timestamp})
        return by_key

    def applied(self, agent: str) -> int:
        """How many outputs the agent has committed."""
        if agent not in self.readers:
            self.readers[agent] = TopicReader(self.broker, self.topic(f"{agent}-out"), self.partitions)
        self.readers[agent].read()
        return self.readers[agent].found

    def wait_for(self, condition: Callable[[], object], what: str) -> None:
        told = f"{what} did not come about; the last worker said:\n"
        wait(condition, lambda: told + self.log()[-4000:], every_s=0.2)

    def wait_until_done(self, agent: str, inputs: int, keys: int) -> None:
        """Until every input has its output, and every key's timer has acted."""
        self.wait_for(lambda: self.applied(agent) >= inputs + keys, f"{inputs}+{keys} outputs")

    def end(self, worker: PreloadedProcess) -> None:
        """Tell a worker to end, which it does in good order once it has begun to serve."""
        number = self.workers.index(worker)
        self.wait_for(lambda: self.get("/live", number)[0] == 200, "a worker that serves")
        worker.terminate()
        assert worker.wait(TIMEOUT_S) == 0, self.log(number)

    def check(self, agent: str) -> None:
        """Nothing lost, nothing doubled, no timer early or out of the order of time (R11)."""
        inputs = defaultdict(list)
        for name in self.agents[agent]:
            for record in self.read(self.topic(name)):
                inputs[record.key].append(record)
        outputs = self.outputs(agent)
        assert outputs.keys() == inputs.keys()
        for key, records in inputs.items():
            counts = [each for each in outputs[key] if each["kind"] == "count"]
            timers = [each for each in outputs[key] if each["kind"] == "timer"]
            assert [each["count"] for each in counts] == list(range(1, len(records) + 1))
            assert sorted(each["value"].encode() for each in counts) == sorted(record.value for record in records)
            assert len(timers) == 1
            due = timers[0]["due"]
            assert timers[0]["visible"] * 1_000 > due - 1_000, "a timer was seen before it was due"
            assert timers[0]["before"] > due
            arrived = sum(record.timestamp * 1_000 <= due for record in records)
            assert timers[0]["count"] == arrived, f"{key!r}: {arrived} had arrived when the timer was due"
