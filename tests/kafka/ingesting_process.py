"""An ingest as a process of its own, to be killed; its argument is the URL of the database. It prints its positions."""

from __future__ import annotations

import sys
from threading import Event

from board.ingest import writer
from board.ingest.apply import AppliedChanges
from board.ingest.thread import Ingest
from board.store.engine import open_engine
from board.store.schema import upgrade
from streams.settings import read_settings
from streams.sla.instants import DAY

#: Small transactions, so that a kill is likely to be in the middle of one.
writer.MAX_RECORDS = 200


def applied(_: AppliedChanges, position: int) -> None:
    print("position", position, flush=True)


def main(url: str) -> None:
    engine = open_engine(url)
    upgrade(engine)
    ingest = Ingest(engine, read_settings(), retention=40_000 * DAY, on_applied=applied)
    ingest.start()
    Event().wait()


if __name__ == "__main__":
    main(sys.argv[1])
