"""What becomes of what pip-audit says."""

import importlib.util
from pathlib import Path

_FILE = Path(__file__).parents[1] / "packaging" / "advisories.py"


def test_an_advisory_is_told_with_where_it_is_mended_and_what_was_not_compared_is_named() -> None:
    spec = importlib.util.spec_from_file_location("advisories", _FILE)
    assert spec is not None
    assert spec.loader is not None
    advisories = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(advisories)
    # As https://github.com/pypa/pip-audit has it: "JSON".
    report = {
        "dependencies": [
            {"name": "fine", "version": "1.0", "vulns": []},
            {
                "name": "flask",
                "version": "0.5",
                "vulns": [
                    {"id": "PYSEC-2019-179", "fix_versions": ["1.0"], "aliases": ["CVE-2019-1010083"]},
                    {"id": "PYSEC-2018-66", "fix_versions": [], "aliases": []},
                ],
            },
            {"name": "own", "skip_reason": "not there"},
        ]
    }
    assert advisories.judged(report) == (
        ["flask 0.5: PYSEC-2019-179, mended in 1.0", "flask 0.5: PYSEC-2018-66, mended in none yet"],
        ["own"],
    )
