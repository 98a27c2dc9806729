"""The kernel's word of changes of interfaces and routes, from the real kernel."""

import subprocess
import sys

import pytest

HEARD = """
import subprocess
from fleetnet_agent.network.news import News
subprocess.run(["ip", "link", "add", "some", "type", "bridge"], check=True)
news = News()
heard = [news.heard()]
for size in ("1400", "1300"):
    subprocess.run(["ip", "link", "set", "some", "mtu", size], check=True)
    heard += [news.heard(), news.heard()]
print(*heard)
"""


@pytest.mark.root
def test_each_change_is_heard_once_and_where_nothing_changes_nothing_is() -> None:
    done = subprocess.run(["unshare", "--net", sys.executable, "-c", HEARD], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["False", "True", "False", "True", "False"]
