"""The small job in plain Faust: a program for an environment of its own, started by `bench.peers`.

At least once, its default and fastest guarantee: its `exactly_once` let records through twice after kill -9, because it
commits by a timer and not at the border of an event (docs/adr/0001), so it has no row of its own.

Settings after the project's documentation:
- uvloop and the C extensions: the bundles `uvloop` and `fast` of its README; `cython_optimizations` turns them on.
- stream_buffer_maxsize: "higher numbers gives better throughput", with 131,072 as the example, provided that commits
  are frequent (reference, Settings); the defaults are a commit every 10,000 events or 2.8 s, and stay.
- producer_linger and producer_max_batch_size: larger batches; both are small by default (0 s, 16 KiB).
- store memory, its default: nothing goes to disk but the changelog.
"""

from __future__ import annotations

import logging
from typing import Any

from mode.loop import use

use("uvloop")  # before Faust is imported: what `faust --loop uvloop` does

import faust  # noqa: E402

from bench.peers import job  # noqa: E402
from bench.peers.run import read_run  # noqa: E402


def main() -> None:
    """Work until SIGTERM."""
    run = read_run(__doc__)
    app = faust.App(
        run.name,
        broker=f"kafka://{run.bootstrap}",
        store="memory://",
        datadir=run.folder,
        autodiscover=False,
        topic_partitions=run.partitions,
        topic_replication_factor=1,
        topic_disable_leader=True,
        web_enabled=False,
        cython_optimizations=True,
        consumer_auto_offset_reset="earliest",
        stream_buffer_maxsize=131_072,
        producer_linger=0.02,
        producer_max_batch_size=512 * 1024,
    )
    raw = {"key_type": bytes, "value_type": bytes, "key_serializer": "raw", "value_serializer": "raw"}
    source = app.topic(run.input, **raw)
    sink = app.topic(run.output, **raw)
    incidents = app.Table("incidents", partitions=run.partitions, key_type=bytes, value_type=bytes)

    async def deciding(stream: Any) -> None:
        async for key, value in stream.items():
            kind, event = job.decode(value)
            stored = incidents.get(key)
            after = job.decide(None if stored is None else job.decode_state(stored), kind, event)
            incidents[key] = job.encode_state(after)
            await sink.send(key=key, value=job.encode_decision(event, after))

    app.agent(source, name="deciding")(deciding)
    faust.Worker(app, loglevel=logging.WARNING, redirect_stdouts=False).execute_from_commandline()


if __name__ == "__main__":
    main()
