"""What holds for all tests: where root is needed and not had they say so, in CI nothing may be skipped, and where they
are shared out to several workers some have the machine to themselves (turns.py)."""

import functools
import gc
import os
import shutil
import signal
from collections.abc import Generator
from typing import TypeVar

import hypothesis
import pytest
import warm
from turns import Turns

from demo import fabric

# A busy machine is no failure: no example is timed.
hypothesis.settings.register_profile("untimed", deadline=None)
hypothesis.settings.load_profile("untimed")

R = TypeVar("R", pytest.TestReport, pytest.CollectReport)

_ORACLES = ("ss", "netstat")  # what the answers are compared with, beyond what a fabric needs itself


@functools.cache
def _why_not_root() -> str:
    missing = [tool for tool in _ORACLES if shutil.which(tool) is None]
    return fabric.why_not() or (f"needs {' and '.join(missing)} (run tests/install-tools as root)" if missing else "")


@pytest.hookimpl(tryfirst=True)
def pytest_configure(config: pytest.Config) -> None:
    # A shell without job control has what it starts in the background pass over Ctrl-C, and so would all that we start.
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)
    # A worker's folder would lie in that of the whole run; paths of sockets are bounded, and some are opened to others.
    if hasattr(config, "workerinput") and not any(
        arg.startswith("--basetemp") for arg in config.invocation_params.args
    ):
        config.option.basetemp = None


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config) -> Turns:
    return Turns(workers=len(config.option.tx))


def pytest_collection_finish() -> None:
    # All tests and libraries stay to the end. An agent under test, which collects garbage after each stream, need not
    # look through them each time; in a process of its own it has done the same (fleetnet_agent/memory.py, `settle`).
    gc.collect()
    gc.freeze()


def pytest_sessionfinish() -> None:
    for script in (warm.CLI, warm.SERVER):
        script.end()


def pytest_runtest_setup(item: pytest.Item) -> None:
    if item.get_closest_marker("root") and (why := _why_not_root()):
        pytest.skip(why)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport() -> Generator[None, pytest.TestReport, pytest.TestReport]:
    report = yield
    return _refused_in_ci(report)


@pytest.hookimpl(wrapper=True)
def pytest_make_collect_report() -> Generator[None, pytest.CollectReport, pytest.CollectReport]:
    report = yield
    return _refused_in_ci(report)


def _refused_in_ci(report: R) -> R:
    # What is skipped proves nothing: where CI is set, the machine is expected to have everything that packages have.
    beyond = "beyond_ci" in getattr(report, "keywords", ())
    if os.environ.get("CI") and report.skipped and not beyond and not hasattr(report, "wasxfail"):
        reason = report.longrepr[2] if isinstance(report.longrepr, tuple) else report.longrepr
        report.outcome = "failed"
        report.longrepr = f"skipped, which is a failure where CI is set: {reason}"
    return report
