"""Alerts and dashboard speak of metrics that the collector has, and the alerts do what their tests say."""

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from fleetnet_server import metrics

MONITORING = Path(__file__).resolve().parents[2] / "monitoring"
PATH = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
NAME = re.compile(r"\b(?:fleetnet|process)_[a-z_]+\b")


def known() -> set[str]:
    fleet = metrics.FleetCollector(lambda: metrics.Fleet(1, 1, 1, 1, 1, 1, 1, 1))
    families = [*metrics.REGISTRY.collect(), *fleet.collect()]
    names = set()
    for family in families:
        names.add(family.name)
        names.update(sample.name for sample in family.samples)
        if family.type == "counter":
            names.add(f"{family.name}_total")  # one with labels has no sample before it is counted
        if family.type == "histogram":
            names.update(f"{family.name}_{part}" for part in ("bucket", "count", "sum"))
    return names


@pytest.mark.parametrize("file", ["alerts.yml", "alerts.test.yml", "dashboard.json"])
def test_no_metric_is_named_that_the_collector_has_not(file: str) -> None:
    named = set(NAME.findall((MONITORING / file).read_text()))
    assert named
    assert named <= known()


def test_the_dashboard_is_the_one_that_its_program_prints() -> None:
    printed = subprocess.run(
        [sys.executable, str(MONITORING / "dashboard.py")], capture_output=True, text=True, check=True
    )
    assert (MONITORING / "dashboard.json").read_text() == printed.stdout


def test_no_two_panels_lie_on_one_another() -> None:
    panels = json.loads((MONITORING / "dashboard.json").read_text())["panels"]
    places = {(panel["gridPos"]["x"], panel["gridPos"]["y"]) for panel in panels}
    assert len(places) == len({panel["id"] for panel in panels}) == len(panels)


@pytest.mark.skipif(
    shutil.which("promtool", path=PATH) is None, reason="promtool is not there (Debian, Ubuntu: prometheus)"
)
@pytest.mark.parametrize("check", [("check", "rules", "alerts.yml"), ("test", "rules", "alerts.test.yml")])
def test_the_alerts_do_what_their_tests_say(check: tuple[str, ...]) -> None:
    promtool = str(shutil.which("promtool", path=PATH))
    done = subprocess.run([promtool, *check], cwd=MONITORING, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


def test_every_alert_has_a_test() -> None:
    alerts = set(re.findall(r"- alert: (\w+)", (MONITORING / "alerts.yml").read_text()))
    tested = set(re.findall(r"alertname: (\w+)", (MONITORING / "alerts.test.yml").read_text()))
    assert alerts == tested
