"""Property tests are the same in every run; HYPOTHESIS_PROFILE=explore looks further and prints what to repeat."""

from __future__ import annotations

import gc
import logging
import os
from collections.abc import Iterator
from contextlib import ExitStack

import pytest
import structlog
from hypothesis import HealthCheck, settings

from streams import logs
from streams.log_output import LogOutput
from tests.preloaded.prepare import preparing
from tests.preloaded.session import is_part_of_a_run, run_of_tests

SLOW_MACHINES = [HealthCheck.too_slow, HealthCheck.data_too_large]
settings.register_profile(
    "ci", max_examples=40, derandomize=True, deadline=None, print_blob=True, suppress_health_check=SLOW_MACHINES
)
# What `make chaos` adds: as many as find what is rare.
settings.register_profile("many", max_examples=400, deadline=None, print_blob=True, suppress_health_check=SLOW_MACHINES)
settings.register_profile(
    "explore", max_examples=2000, deadline=None, print_blob=True, suppress_health_check=SLOW_MACHINES
)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "ci"))

# Eleven thousand collected tests are a large heap, and each full collection visits all of it: a fifth of the time.
gc.set_threshold(10_000, 20, 50)
# Modules and tests that are collected stay until the end: nothing of them is garbage.
gc.disable()


@pytest.fixture(autouse=True)
def logs_of_one_test_alone() -> Iterator[None]:
    """A command that a test runs in this process may set up its logs: the next test finds those of tests again."""
    yield
    root = logging.getLogger()
    own = [each for each in root.handlers if isinstance(each, LogOutput)]
    if own:
        for each in own:
            root.removeHandler(each)
            each.close()
        for name in (*logs._PACKAGES, "streams.runtime.transport"):
            logging.getLogger(name).setLevel(logging.NOTSET)
        structlog.reset_defaults()


def pytest_configure(config: pytest.Config) -> None:
    """Test processes share a folder for as long as the run lasts (tests/preloaded)."""
    if is_part_of_a_run():  # a process of pytest-xdist
        return
    run = ExitStack()
    config.add_cleanup(run.close)
    run.enter_context(run_of_tests())
    if config.getoption("numprocesses", 0) and any("kafka" in argument for argument in config.args):
        run.enter_context(preparing())


def pytest_collection_finish() -> None:
    """The garbage collector works from now on, and need not look at what was collected."""
    gc.collect()
    gc.freeze()
    gc.enable()


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Where processes share the tests (`make test`), files that mostly wait for Kafka alternate with files that
    compute. Files with faults come first, because they take longest."""
    if not hasattr(config, "workerinput"):  # set by pytest-xdist
        return
    faults = {item.path for item in items if item.get_closest_marker("chaos")}
    files = list(dict.fromkeys(item.path for item in items))
    waiting = sorted((file for file in files if file.parent.name == "kafka"), key=lambda file: file not in faults)
    computing = [file for file in reversed(files) if file.parent.name != "kafka"]
    # Those that wait end first: the last minutes belong to files that use every processor.
    places = {
        file: share * number / len(group)
        for share, group in ((0.85, waiting), (1.0, computing))
        for number, file in enumerate(group)
    }
    order = {file: place for place, file in enumerate(sorted(places, key=lambda file: places[file]))}
    items.sort(key=lambda item: order[item.path])
