"""Programs of which the command line is forked from one that has loaded its libraries (tests/warm): it is asked
thousands of times, over and over until something is there. Collectors and agents are started as anybody starts them."""

import subprocess
from collections.abc import Mapping, Sequence

import warm

from demo.programs import Programs

_NSENTER, _NETWORK, _END = "nsenter", "--net=", "--"  # as demo/fabric.py enters a host


class QuickPrograms(Programs):
    """Programs whose questions are asked quickly."""

    def run(
        self, command: Sequence[str], environment: Mapping[str, str], *, within_s: float
    ) -> "subprocess.CompletedProcess[str]":
        """One that ends by itself and hears nothing, and all that it says. Raises subprocess.TimeoutExpired."""
        network, asked = _on_a_host(command)
        told = {**self.environment, **environment}
        if asked[0] != str(warm.CLI.path) or not warm.CLI.can_be_forked(told):
            return super().run(command, environment, within_s=within_s)
        return warm.CLI.run(asked[1:], environment=told, timeout=within_s, network=network)


def _on_a_host(command: Sequence[str]) -> tuple[str, Sequence[str]]:
    """The network namespace that a command is run in, empty for this process's own, and the command."""
    if command[0] == _NSENTER and command[1].startswith(_NETWORK) and command[2] == _END:
        return command[1].removeprefix(_NETWORK), command[3:]
    return "", command
