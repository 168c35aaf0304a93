"""What each process works out at its start, always to the same result: done once, before it is forked."""

from __future__ import annotations

from functools import cache

from streams import package_conflicts
from streams.serde.codec import Codec

package_conflicts.packages_distributions = cache(package_conflicts.packages_distributions)
package_conflicts.packages_distributions()
Codec()  # what it compiles is kept
