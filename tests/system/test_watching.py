"""`fleetnet watch` on real hosts: a listener is told as it comes and as it goes, also over a collector's restart."""

import os
import re

import pytest
from system.laboratory import Laboratory

from demo.fleet import console_script
from demo.programs import until

pytestmark = pytest.mark.root


def test_a_listener_that_comes_and_goes_is_told_and_so_is_what_changed_while_the_collector_was_away(
    lab: Laboratory,
) -> None:
    host = lab.fabric.add_host("web1")
    fleet = lab.fleet()
    lab.start(host, "listening", "sshd", "tcp:0.0.0.0:22").wait_for("^ready")
    fleet.enroll("web1", fleet.place)
    fleet.start_agent("web1", host)
    fleet.wait_until_fresh("web1")
    assert fleet.place is not None
    told = {**os.environ, "FLEETNET_SERVER": f"unix://{fleet.admin_socket}"}
    command = fleet.place.command(console_script("fleetnet"), "watch", "who-listens", "1-1023", "-q")
    watch = lab.programs.start("watch", command, told)
    watch.wait_for(r"^            web1 +tcp +0\.0\.0\.0:22 .*sshd")

    nginx = lab.start(host, "listening", "nginx", "tcp:0.0.0.0:443")
    watch.wait_for(r"^\+ \d\d:\d\d:\d\d  web1 +tcp +0\.0\.0\.0:443 .*nginx")
    lab.start(host, "listening", "app", "tcp:0.0.0.0:8080").wait_for("^ready")  # not among the ports asked about
    nginx.stop()
    watch.wait_for(r"^- \d\d:\d\d:\d\d  web1 +tcp +0\.0\.0\.0:443 ")

    fleet.collector.stop()
    lab.start(host, "listening", "named", "udp:0.0.0.0:53").wait_for("^ready")
    fleet.start_collector()
    watch.wait_for(r"^\+ \d\d:\d\d:\d\d  web1 +udp +0\.0\.0\.0:53 .*named", within_s=120.0)
    changes = re.findall(r"^[+-] .* web1 .*?:(\d+) ", watch.says(), re.MULTILINE)
    assert changes == ["443", "443", "53"], watch.says()
    until(lambda: watch.running or None, within_s=1.0, what="the watch")
