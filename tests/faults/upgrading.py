"""A rolling upgrade under load: workers of an earlier revision are replaced one by one, one is rolled back, and
replaced again. What the earlier revision wrote is read, and what the present code wrote is read or refused."""

from __future__ import annotations

import os
import subprocess
import sys
import tarfile
from pathlib import Path

from .deployment import ROOT, Worker, wait_for
from .run import Run
from .service import running, wait_until_flowing

#: Where `--from` of the command is for a scenario, which has a process of its own.
REVISION = "FAULT_FROM"
COMMITS_BACK = 20


def earlier_tree(folder: Path) -> Path:
    """A copy of the tree of that revision: of the last release before HEAD; without one, of HEAD~20."""
    revision = revision_before()
    tree = folder / f"tree-{revision}"
    tree.mkdir()
    with (
        subprocess.Popen(["git", "archive", revision], cwd=ROOT, stdout=subprocess.PIPE) as archive,
        tarfile.open(fileobj=archive.stdout, mode="r|") as files,
    ):
        files.extractall(tree)
    where = subprocess.run(
        [sys.executable, "-c", "import agents; print(agents.__file__)"],
        cwd=tree,
        env={**os.environ, "PYTHONPATH": str(tree)},
        check=True,
        capture_output=True,
        text=True,
    ).stdout
    if not Path(where.strip()).is_relative_to(tree):
        raise RuntimeError(f"workers of {revision} would run {where.strip()}")
    return tree


def revision_before() -> str:
    """The short name of the revision to upgrade from."""
    asked = os.environ.get(REVISION)
    release = _git("describe", "--tags", "--abbrev=0", "HEAD^")
    found = _git("rev-parse", "--short", f"{asked or release or f'HEAD~{COMMITS_BACK}'}^{{commit}}")
    if not found:
        raise RuntimeError(
            f"no revision {asked or f'HEAD~{COMMITS_BACK}'} in the history of {ROOT.name}: name one with --from"
        )
    return found


def rolling_upgrade(run: Run) -> None:
    """Two workers of the earlier revision; replaced one by one; one rolled back, and forward again."""
    deployment = run.deployment
    before, earlier = deployment.tree, deployment.tree.name.removeprefix("tree-")
    old = [*deployment.alive(), deployment.start_worker()]
    _all_work(run)
    new = []
    deployment.tree = ROOT
    for each in old:
        new.append(_replace(run, each))
        run.did(f"{earlier} replaced by the present code")
    deployment.tree = before
    back = _replace(run, new.pop(), may_refuse=True)
    run.did(f"rolled back to {earlier}")
    if refused := back.said("task_halted"):
        if any("StateUnreadable" not in str(each.get("error")) for each in refused):
            run.result.problems.append(f"{back.name} of {earlier} halted: {refused[0]}")
        run.did(f"{earlier} refused state of the present code", len(refused))
    deployment.tree = ROOT
    _replace(run, back)
    run.did(f"{earlier} replaced by the present code")


def _replace(run: Run, leaving: Worker, *, may_refuse: bool = False) -> Worker:
    """As a Deployment does with one more pod: a new worker is ready, then the old one is told to end."""
    deployment = run.deployment
    run.pause(1.0, 3.0)
    coming = deployment.start_worker(wait=False)

    def refuses() -> bool:
        return may_refuse and bool(coming.said("task_halted"))

    wait_for(lambda: coming.ready() or refuses(), f"{coming.name} is ready")
    if code := leaving.stop():
        run.result.problems.append(f"{leaving.name} was stopped and ended with {code}")
    # A worker may refuse only after it was ready: the one that leaves hands over its partitions at its end.
    wait_for(lambda: all(map(Worker.ready, deployment.alive())) or refuses(), "workers are ready")
    if not refuses():
        _all_work(run)
    return coming


def _all_work(run: Run) -> None:
    run.deployment.wait_until_served()
    wait_for(lambda: all(map(running, run.deployment.alive())), "each worker has partitions")
    wait_until_flowing(run)


def _git(*command: str) -> str:
    return subprocess.run(["git", *command], cwd=ROOT, capture_output=True, text=True, check=False).stdout.strip()
