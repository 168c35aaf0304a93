"""The disk of a worker fails while it runs: it keeps nothing there, so nothing may come of it."""

from __future__ import annotations

import resource
import shutil
from collections.abc import Callable
from pathlib import Path

from .deployment import Worker, wait_for
from .run import Run
from .service import serves_all


def _deleted(worker: Worker, *folders: Path) -> None:
    """The folders go while they are in use."""
    for folder in folders:
        shutil.rmtree(folder)


def _no_folder(worker: Worker, *folders: Path) -> None:
    """Nothing can be opened or made there any more, not even by root, for whom read-only is no bar."""
    for folder in folders:
        shutil.rmtree(folder)
        folder.write_bytes(b"")


def _read_only(worker: Worker, *folders: Path) -> None:
    """Bars everybody but root."""
    for folder in folders:
        folder.chmod(0o555)


def _full(worker: Worker, *folders: Path) -> None:
    """Every file is at its largest: a write fails, that of a log line too."""
    resource.prlimit(worker.process.pid, resource.RLIMIT_FSIZE, (0, 0))


FAULTS: dict[str, Callable[..., None]] = {
    "folders deleted": _deleted,
    "folders replaced by files": _no_folder,
    "folders read-only": _read_only,
    "disk full": _full,
}


def folders_fail(run: Run) -> None:
    """A worker's working and temporary directories deleted, unusable, read-only, full; then it takes partitions over
    in that state, as the other worker dies."""
    for turn in run.times(2, 1):
        for fault, act in FAULTS.items():
            folders = [run.deployment.folder / f"{what}-{turn}-{act.__name__}" for what in ("working", "temporary")]
            for folder in folders:
                folder.mkdir()
            places = {"FAULT_FOLDER": str(folders[0]), "TMPDIR": str(folders[1])}
            others = run.deployment.alive()
            worker = run.deployment.start_worker(wait=True, **places)
            wait_for(worker.serving, "the new worker has partitions")
            act(worker, *folders)
            run.did(fault)
            run.pause(1.0, 3.0)
            for other in others:
                other.kill()
                run.did("kill -9 of the other worker")
            wait_for(lambda worker=worker: serves_all(worker), f"after {fault}, the worker takes over")
            run.pause(1.0, 3.0)
            if not worker.alive:
                run.result.problems.append(f"the worker ended: {fault}")


def started_without(run: Run) -> None:
    """A worker is started where no file can be written at all."""
    for _ in run.times(3, 1):
        run.deployment.alive()[0].kill()
        run.deployment.start_worker(FAULT_FILE_BYTES="0", TMPDIR=str(run.deployment.folder / "no-such-folder"))
        run.did("started on a full disk")
        run.pause(2.0, 4.0)
