"""ansible-inventory, ready to run: importing Ansible takes a second, and a copy of a process that has done so none.

Runs in Ansible's environment. Each line of its input is {"arguments": […], "environment": {…}, "out": PATH, "err":
PATH}; it answers with the exit status.
"""

import json
import os
import sys
from typing import Any

from ansible.cli.inventory import InventoryCLI


def run(asked: dict[str, Any]) -> None:
    """In a process that ends with it."""
    for name, number in (("out", 1), ("err", 2)):
        os.dup2(os.open(asked[name], os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), number)
    os.environ.update(asked["environment"])
    InventoryCLI.cli_executor(["ansible-inventory", *asked["arguments"]])


def main() -> None:
    """Until there is no more input."""
    for line in sys.stdin:
        child = os.fork()
        if child == 0:
            run(json.loads(line))
            os._exit(0)
        print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), flush=True)


if __name__ == "__main__":
    main()
