"""Where CI is set a test that is skipped has failed: what the machine lacks must not look like success."""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
SHARED_OUT = ("-p", "xdist.plugin", "-n", "2")  # to two workers

SKIPPED = """
import pytest

def test_what_needs_something() -> None:
    pytest.skip("no such thing here")
"""
SKIPPED_WHOLE = """
import pytest

pytest.skip("no such thing here", allow_module_level=True)
"""

BEYOND = """
import pytest

pytestmark = pytest.mark.beyond_ci

def test_what_no_package_has() -> None:
    pytest.skip("built by hand only")
"""


def run(directory: Path, tests: dict[str, str], ci: str, *options: str) -> subprocess.CompletedProcess[str]:
    """pytest on these files, with what holds for ours."""
    shutil.copy(ROOT / "tests" / "conftest.py", directory)
    for name, test in tests.items():
        (directory / name).parent.mkdir(parents=True, exist_ok=True)
        (directory / name).write_text(test)
    path = f"{ROOT}:{ROOT / 'tests'}"
    environment = {**os.environ, "CI": ci, "PYTHONPATH": path, "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1"}
    command = [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", "-c", os.devnull, "--rootdir", ".", "-rs"]
    command += ["--import-mode=importlib", f"--basetemp={directory / 'folders'}", *options]
    return subprocess.run(command, cwd=directory, env=environment, capture_output=True, text=True, check=False)


@pytest.mark.parametrize("options", [(), SHARED_OUT], ids=["here", "shared out"])
@pytest.mark.parametrize("test", [SKIPPED, SKIPPED_WHOLE])
def test_a_skip_fails_where_ci_is_set(tmp_path: Path, test: str, options: tuple[str, ...]) -> None:
    done = run(tmp_path, {"test_it.py": test}, "true", *options)
    assert done.returncode not in (0, 5), done.stdout
    assert "no such thing here" in done.stdout


def test_what_no_package_has_may_be_skipped_there_and_gives_its_reason(tmp_path: Path) -> None:
    done = run(tmp_path, {"test_it.py": BEYOND}, "true")
    assert done.returncode == 0, done.stdout
    assert "built by hand only" in done.stdout


def test_a_skip_is_a_skip_elsewhere_and_gives_its_reason(tmp_path: Path) -> None:
    done = run(tmp_path, {"test_it.py": SKIPPED}, "")
    assert done.returncode == 0, done.stdout
    assert "SKIPPED [1] test_it.py" in done.stdout
    assert "no such thing here" in done.stdout


def test_the_tools_that_tests_need_are_looked_for_quietly() -> None:
    # With what it looks for on the PATH it has nothing to say and nothing to do.
    told = re.search(r"set -- (ip .*)", (ROOT / "tests" / "install-tools").read_text())
    assert told
    tools = told[1].split()
    folders = [Path(sys.executable).parent, "/usr/sbin", "/sbin", *Path("/usr/lib/postgresql").glob("*/bin")]
    path = os.pathsep.join([os.environ["PATH"], *map(str, folders)])
    if any(shutil.which(tool, path=path) is None for tool in tools):
        pytest.skip(f"{', '.join(tools)} are not all here (run tests/install-tools as root)")
    done = subprocess.run([ROOT / "tests" / "install-tools"], capture_output=True, text=True, check=True)
    assert (done.stdout, done.stderr) == ("", "")
