"""Changes to private parts of the Kafka clients: applied to the version they are written for, skipped on any other.

`for_aiokafka` and `for_kafka_python` have a module for each change; its docstring says what is lost without it. Its
`apply` changes the library's classes. A module without `apply` changes single clients, for who constructs them. A
skipped patch is logged once, as `aiokafka_patch_skipped` or `kafka_python_patch_skipped`. docs/architecture.md lists
all of them.
"""

from __future__ import annotations

from importlib import import_module
from importlib.metadata import version
from typing import Final, NamedTuple

import structlog

_applied: dict[str, bool] = {}


class PatchedLibrary(NamedTuple):
    """A distribution with the versions that its patches are written for (`supported` is their beginning), and the
    patches: modules of `package`."""

    name: str
    supported: str
    package: str
    patches: tuple[str, ...]

    def applied(self, patch: str) -> bool:
        """Whether a patch is in force; tries to apply it when first asked."""
        path = f"{__name__}.{self.package}.{patch}"
        if path not in _applied:
            _applied[path] = self._apply(patch, path)
        return _applied[path]

    def apply_all(self) -> None:
        """Apply every patch that fits, once per process."""
        for patch in self.patches:
            self.applied(patch)

    def _apply(self, patch: str, path: str) -> bool:
        if not version(self.name).startswith(self.supported):
            return self._skipped(patch, f"written for {self.name} {self.supported}x")
        try:
            module = import_module(path)
            if hasattr(module, "apply"):
                module.apply()
        except (ImportError, AttributeError) as error:
            return self._skipped(patch, str(error))
        return True

    def _skipped(self, patch: str, reason: str) -> bool:
        key = self.name.replace("-", "_")
        fields = {"patch": patch, key: version(self.name), "reason": reason}
        structlog.get_logger(__name__).warning(f"{key}_patch_skipped", **fields)
        return False


AIOKAFKA: Final = PatchedLibrary(
    "aiokafka",
    "0.14.",
    "for_aiokafka",
    (
        *("header_names", "bootstrap_cause", "rebootstrap", "metadata_backoff", "fetch_errors", "unfinished_stops"),
        *("committed_texts", "group_errors", "member_commits"),
    ),
)
KAFKA_PYTHON: Final = PatchedLibrary(
    "kafka-python",
    "3.0.",
    "for_kafka_python",
    (
        *("header_names", "bounded_batches", "failed_batches", "last_answers", "connection_causes"),
        *("producer_id_reset", "unfinished_closes"),
    ),
)
