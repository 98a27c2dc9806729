"""The processes that simulated agents live in: started here, told what to do line by line."""

import resource
from pathlib import Path

from bench.orders import Ordered


def raise_file_limit() -> int:
    """Each agent has a socket; how many files may be open in one process now, and in those that it starts."""
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    return hard


class Process(Ordered):
    """One of them. `module` is what it runs; see bench.fleet.agents for how it is spoken with."""

    def __init__(self, module: str, file: Path, report: str, seed: int, agents: int, *options: str) -> None:
        self.agents = agents
        super().__init__(module, "--identities", str(file), "--report", report, "--seed", str(seed), *options)
