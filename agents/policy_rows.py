"""The policy versions a partition has decided by (R18): one row each; a label's content may not change under it."""

from __future__ import annotations

from typing import cast

from agents.gate import row_key
from streams.codec import Codec
from streams.codec import Record as Fields
from streams.errors import PolicyChanged
from streams.runtime.processor import Effects
from streams.sla.events import Output
from streams.sla.policy import Policies

KIND = "@policy"


class PolicyRows:
    """Remembers each version that an output names, and refuses to start when the deployment's differs."""

    def __init__(self, policies: Policies, codec: Codec) -> None:
        self._policies = policies
        self._codec = codec
        self._seen: set[str] = set()

    def restore(self, row: Fields) -> None:
        """Raises PolicyChanged when the version is missing here, or has other content than it had."""
        name, version, digest = str(row["name"]), str(row["version"]), str(row["digest"])
        ours = self._policies.exact(name, version)
        if ours is None:
            raise PolicyChanged(
                f"the state was decided by policy {name} version {version}, which this deployment does not have; "
                f"bring back policies/{name}/{version}.yaml"
            )
        if ours.digest != digest:
            raise PolicyChanged(
                f"policy {name} version {version} has other content than the log has seen under that label "
                f"(digest {ours.digest[:12]}, seen {digest[:12]}); give the new content a version of its own"
            )
        self._seen.add(digest)

    def used(self, output: Output, effects: Effects) -> None:
        """Write the row of a version the first time an output names it."""
        policy = cast(dict[str, object], output.data["policy"])
        if policy["digest"] not in self._seen:
            self._seen.add(str(policy["digest"]))
            key = row_key(KIND, str(policy["name"]), str(policy["version"]))
            effects.put(key, self._codec.encode("state.policy", policy))
