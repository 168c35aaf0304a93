"""Known vulnerabilities of the locked packages, by pip-audit. Ends with 1 for any, and says where nothing was checked.

`python deploy/audit/vulnerabilities.py REPORT`: REPORT is what `pip-audit --format json` wrote; empty or absent where
it got no answer. A package that the vulnerability service does not know is not checked.
"""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path


def main(report: Path) -> int:
    """With AUDIT_STRICT=1, packages that were not checked are failures too."""
    found = json.loads(report.read_text("utf-8") or "{}") if report.exists() else {}
    packages = found.get("dependencies", [])
    for each in packages:
        for vulnerability in each.get("vulns", []):
            fixed = ", ".join(vulnerability["fix_versions"]) or "no version"
            print(f"audit: {each['name']} {each['version']}: {vulnerability['id']}, mended in {fixed}")
    unchecked = [each for each in packages if "skip_reason" in each]
    if not packages or unchecked:
        what = f"{len(unchecked)} of {len(packages)} packages" if packages else "all packages"
        reason = unchecked[0]["skip_reason"] if unchecked else "see build/audit/vulnerabilities.log"
        print(f"audit: NOT CHECKED for known vulnerabilities: {what}: the service gave no answer ({reason})")
        print("audit: run `make audit` where the service can be reached; `make scan` is all that this place can do")
    vulnerable = any(each.get("vulns") for each in packages)
    strict = os.environ.get("AUDIT_STRICT") == "1"
    return int(vulnerable or (strict and (not packages or bool(unchecked))))


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1])))
