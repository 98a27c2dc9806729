"""What the process does about its own memory."""

import subprocess
import sys

from fleetnet_agent.memory import unchanged_mappings

SMAPS = """\
55d0c0a00000-55d0c0a01000 r--p 00000000 fe:00 1315 /usr/bin/python3.11
Rss:                   4 kB
Anonymous:             0 kB
VmFlags: rd mr mw me
7f0000000000-7f0000002000 r-xp 00001000 fe:00 1316                       /a name with blanks.so
Rss:                   8 kB
Anonymous:             0 kB
7f0000002000-7f0000003000 r--p 00003000 fe:00 1316                       /relocated.so
Rss:                   4 kB
Anonymous:             4 kB
7f0000003000-7f0000004000 rw-p 00004000 fe:00 1316                       /data.so
Rss:                   4 kB
Anonymous:             0 kB
7f0000004000-7f0000005000 r--s 00004000 fe:00 1317                       /shared
Rss:                   4 kB
Anonymous:             0 kB
7ffd00000000-7ffd00001000 r-xp 00000000 00:00 0                          [vdso]
Rss:                   4 kB
Anonymous:             0 kB
7ffd00001000-7ffd00002000 r--p 00000000 00:00 0
Rss:                   0 kB
Anonymous:             0 kB
"""

PUT_DOWN = """
import asyncio, decimal, json
from fleetnet_agent import memory

def resident():
    return next(int(line.split()[1]) for line in open("/proc/self/status") if line.startswith("RssFile:"))

before, value = resident(), decimal.Decimal(2).sqrt()
memory.put_code_down()
after = resident()
assert decimal.Decimal(2).sqrt() == value and json.loads("[1]") == [1]
print(before, after)
"""


def test_only_what_a_file_gives_anew_is_let_go() -> None:
    assert list(unchanged_mappings(SMAPS.splitlines(keepends=True))) == [
        (0x55D0C0A00000, 0x1000),
        (0x7F0000000000, 0x2000),
    ]


def test_code_that_is_not_used_any_more_is_put_down_and_the_rest_works_on() -> None:
    done = subprocess.run([sys.executable, "-c", PUT_DOWN], capture_output=True, text=True, check=True)
    before, after = map(int, done.stdout.split())
    assert after < before * 0.75
