"""Outputs, copies for other partitions, and inputs forwarded to their own partition."""

from __future__ import annotations

from agents.context import AgentContext
from streams.internal_topics import COPY, FORWARDED, wrap
from streams.kafka.partitioner import partition_of
from streams.runtime.processor import Effects, Record, Send
from streams.sla.events import Output
from streams.topics import TOPIC_OF


class Egress:
    """Sends records from one partition of one agent."""

    def __init__(self, context: AgentContext) -> None:
        self._context = context
        self._topics = context.topics
        self._partitions = context.topics.partitions
        self._source, self._framing = context.source, context.framing
        self._encode, self._count = context.codec.encode_output, context.count.output
        self._names = {suffix: context.topics.name(suffix) for suffix in TOPIC_OF.values()}

    def publish(self, output: Output, topic: str, effects: Effects) -> Send:
        """Encode an output and send it to its topic, partitioned by its subject. Returns it in single-object encoding,
        so that it can be copied."""
        self._count(output)
        value, headers = self._encode(output, self._source)
        subject = output.subject
        partition = partition_of(subject, self._partitions)
        send = Send(self._names[topic], partition, subject.encode(), value, headers)
        framed = self._framing(value)
        effects.send(send if framed is value else send._replace(value=framed))
        return send

    def publish_latest(self, send: Send, topic: str, key: str, effects: Effects) -> None:
        """Send what `publish` sent to a compacted topic as well: the latest of its key."""
        value = None if send.value is None else self._context.framing(send.value)
        effects.send(send._replace(topic=self._context.topics.name(topic), key=key.encode(), value=value))

    def delete(self, topic: str, key: str, subject: str, effects: Effects) -> None:
        """Delete a key of a compacted topic, in the partition of its subject."""
        partition = partition_of(subject, self._context.topics.partitions)
        effects.send(Send(self._context.topics.name(topic), partition, key.encode(), None, []))

    def send_event(self, record: Record, effects: Effects) -> None:
        """Send an event of this agent to the topic and partition that the record names."""
        value = None if record.value is None else self._context.framing(record.value)
        effects.send(Send(record.topic, record.partition, record.key, value, list(record.headers)))

    def copy_to(self, record: Record, route: bytes, partition: int, effects: Effects) -> None:
        """Send a copy to one partition of the other agent, or of this one."""
        effects.send(wrap(record, route, COPY, self._topics.internal(route.decode()), partition))

    def forward(self, record: Record, partition: int, effects: Effects) -> None:
        """Send an input to the partition of its subject."""
        self._context.count.forwarded.inc()
        agent = self._context.agent
        effects.send(wrap(record, agent.encode(), FORWARDED, self._topics.internal(agent), partition))
