"""The small job in Quix Streams, exactly once: a program for an environment of its own, started by `bench.peers`.

Settings after the project's documentation:
- processing_guarantee "exactly-once" (docs/configuration.md, Processing Guarantees).
- commit_every: longer between checkpoints means less input and output, as state updates are batched per key
  (docs/advanced/checkpointing.md). Five thousand records are half a second here, five times what Kafka Streams waits;
  they divide the load, so that nobody waits for a timer at its end. commit_interval stays at its default of 5 s.
- linger.ms of librdkafka: larger batches, higher throughput (its INTRODUCTION.md, High throughput); 5 by default. Its
  other limits of a batch, 10,000 messages and 1 MB, are large already.
- State as bytes: `set_bytes` spares it the JSON (docs/advanced/stateful-processing.md).
"""

from __future__ import annotations

from pathlib import Path

from quixstreams import Application, State

from bench.peers import job
from bench.peers.run import read_run

COMMIT_EVERY = 5_000


def decided(value: bytes, state: State) -> bytes:
    """The job for one event; `state` is that of its key."""
    kind, event = job.decode(value)
    stored = state.get_bytes("incident")
    after = job.decide(None if stored is None else job.decode_state(stored), kind, event)
    state.set_bytes("incident", job.encode_state(after))
    return job.encode_decision(event, after)


def main() -> None:
    """Work until SIGTERM."""
    run = read_run(__doc__)
    app = Application(
        broker_address=run.bootstrap,
        consumer_group=run.name,
        auto_offset_reset="earliest",
        processing_guarantee="exactly-once",
        commit_every=COMMIT_EVERY,
        state_dir=Path(run.folder) / "state",
        producer_extra_config={"linger.ms": 50},
        loglevel="WARNING",
    )
    source = app.topic(run.input, key_deserializer="bytes", value_deserializer="bytes")
    sink = app.topic(run.output, key_serializer="bytes", value_serializer="bytes")
    app.dataframe(source).apply(decided, stateful=True).to_topic(sink)
    app.run()


if __name__ == "__main__":
    main()
