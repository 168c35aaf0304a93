"""The register of policy versions (R18): the content of a version may not change once a decision used it, in any
partition."""

from __future__ import annotations

from typing import Any

from agents.changelog.input_rows import row_key
from agents.context import AgentContext
from agents.egress import Egress
from streams.errors import PolicyChanged
from streams.internal_topics import TO_INCIDENTS, TO_LEDGER
from streams.runtime.processor import Effects, Record
from streams.serde.codec import Fields
from streams.sla.events import Output
from streams.sla.policy import Policies

#: Versions that decisions of this partition used, and those that only other partitions used.
KIND, ELSEWHERE = "@policy", "@policy-elsewhere"


class PolicyRows:
    """Records each version that an output names, copies it to every partition of both agents, and stops the worker when
    the deployment's version differs."""

    def __init__(self, policies: Policies, context: AgentContext, egress: Egress) -> None:
        self._policies = policies
        self._context = context
        self._egress = egress
        self._used: set[str] = set()
        self._known: dict[tuple[str, str], str] = {}

    def restore(self, kind: str, row: Fields) -> None:
        """Raises PolicyChanged when the content of the version changed, or when it is missing although this partition
        used it."""
        name, version, digest = self._checked(row)
        self._known[name, version] = digest
        if kind != KIND:
            return
        self._used.add(digest)
        if self._policies.exact(name, version) is None:
            raise PolicyChanged(
                f"the state was decided by policy {name} version {version}, which this deployment does not have; "
                f"bring back policies/{name}/{version}.yaml"
            )

    def used_elsewhere(self, fields: Fields, effects: Effects) -> None:
        """Another partition used a version. Raises PolicyChanged when its content differs from ours. A version that is
        missing here is allowed while no decision here used it, such as during a rolling update."""
        name, version, digest = self._checked(fields)
        # If a version that is missing here has two contents, the first is recorded; the workers that have it stop.
        if (name, version) not in self._known:
            self._known[name, version] = digest
            effects.put(row_key(ELSEWHERE, name, version), self._context.codec.encode("state.policy", fields))

    def _checked(self, row: Fields) -> tuple[str, str, str]:
        name, version, digest = str(row["name"]), str(row["version"]), str(row["digest"])
        ours = self._policies.exact(name, version)
        if ours is not None and ours.digest != digest:
            raise PolicyChanged(
                f"policy {name} version {version} has other content than the log has seen under that label "
                f"(digest {ours.digest[:12]}, seen {digest[:12]}); give the new content a version of its own"
            )
        return name, version, digest

    def used(self, output: Output, effects: Effects) -> None:
        """Write the row of a version the first time an output names it, and copy it to the other partitions unless one
        of them sent it."""
        policy: Any = output.data["policy"]
        digest: str = policy["digest"]
        if digest in self._used:
            return
        self._used.add(digest)
        name, version = str(policy["name"]), str(policy["version"])
        context = self._context
        row = context.codec.encode("state.policy", policy)
        effects.put(row_key(KIND, name, version), row)
        if (name, version) in self._known:
            return
        self._known[name, version] = digest
        key = f"{name}/{version}".encode()
        record = Record(context.topics.internal(context.agent), context.partition, 0, output.time, key, row, [])
        for partition in range(context.topics.partitions):
            self._egress.copy_to(record, TO_INCIDENTS, partition, effects)
            self._egress.copy_to(record, TO_LEDGER, partition, effects)
