"""Whether an advisory is known of anything that is shipped: `python packaging/advisories.py LOCKFILE …`, by pip-audit.

Exit status 1 where one is, and 0 elsewhere. What could not be compared is named: an index that does not answer, or
knows no advisories, leaves everything out, and then nothing was found out.
"""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

_WITHIN_S = 120


def judged(report: dict[str, Any]) -> tuple[list[str], list[str]]:
    """Of a report of pip-audit: a line for each advisory, and the packages that were not compared with any."""
    found, left_out = [], []
    for package in report["dependencies"]:
        if "skip_reason" in package:
            left_out.append(package["name"])
        for advisory in package.get("vulns", ()):
            mended = ", ".join(advisory["fix_versions"]) or "none yet"
            found.append(f"{package['name']} {package['version']}: {advisory['id']}, mended in {mended}")
    return found, left_out


def main() -> int:
    """See above."""
    files = [word for name in sys.argv[1:] for word in ("-r", name)]
    command = [str(Path(sys.executable).with_name("pip-audit")), "--require-hashes", "--disable-pip", *files]
    try:
        done = subprocess.run(
            [*command, "--progress-spinner", "off", "--format", "json"],
            capture_output=True, text=True, timeout=_WITHIN_S, check=False,
        )  # fmt: skip
        report = json.loads(done.stdout)
    except (subprocess.TimeoutExpired, json.JSONDecodeError):
        print("advisories: nothing was compared, for the index does not answer")
        return 0
    found, left_out = judged(report)
    for line in found:
        print(f"advisories: {line}")
    packages = len(report["dependencies"])
    if left_out:
        print(f"advisories: {len(left_out)} of {packages} packages were not compared, for the index does not know them")
    if not found and len(left_out) < packages:
        print(f"advisories: none of {packages - len(left_out)} packages")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
