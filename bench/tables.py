"""The part of `bench.agent` that reads tables: ours beside `ss -tan`, and the listeners alone."""

import argparse
import resource
import statistics
import sys
import time

from fleetnet_agent.changes import DiagTable

from bench.contenders import COMMANDS, YARDSTICK, Contender, contenders, our_table
from bench.measures import Bar, hand_over
from bench.population import TIME_WAIT_LASTS_S, Population, population

RATIOS = {10_000: 0.6, 100_000: 0.7}
LISTEN_AMONG, LISTEN_MS = 50_000, 1.0
_LISTEN_ROUNDS = 51


def main() -> int:
    """Measure, and hand over."""
    parser = argparse.ArgumentParser(prog="python -m bench.tables", description=__doc__)
    parser.add_argument("--quick", action="store_true")
    rounds = 5 if parser.parse_args().quick else 15
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    for size, limit in RATIOS.items():
        with population(size) as made:
            ratio = _beside_ss(made, rounds)
        hand_over([Bar(f"look at {size:,} sockets, CPU beside `{YARDSTICK}`", limit, ratio, "x")])
    with population(LISTEN_AMONG):
        table = our_table()
        table.look()
        taken_ms = statistics.median(_listeners_ms(table) for _ in range(_LISTEN_ROUNDS))
    hand_over([Bar(f"look at the listeners among {LISTEN_AMONG:,} sockets, CPU", LISTEN_MS, taken_ms, "ms")])
    return 0


def _beside_ss(made: Population, rounds: int) -> float:
    field = [each for each in contenders() if each.name == YARDSTICK or each.name not in (*COMMANDS, *_OTHERS)]
    taken: dict[str, list[float]] = {each.name: [] for each in field}
    renewed_at_s = time.monotonic()
    for number in range(rounds + 1):  # the first fills caches and grows heaps
        if time.monotonic() - renewed_at_s > TIME_WAIT_LASTS_S / 2:
            made.renew_time_wait()
            renewed_at_s = time.monotonic()
            _run_all(field)  # the difference to the table before is large this once
        for each, cpu_s in zip(field, _run_all(field), strict=True):
            if number:
                taken[each.name].append(cpu_s)
    ours, theirs = (statistics.median(taken[each.name]) for each in field)
    return ours / theirs


def _run_all(field: list[Contender]) -> list[float]:
    return [each.cpu_s() for each in field]


def _listeners_ms(table: DiagTable) -> float:
    before_s = time.process_time()
    table.listeners_moved()
    return (time.process_time() - before_s) * 1000


_OTHERS = ("psutil.net_connections", "/proc/net/tcp*, in Python")

if __name__ == "__main__":
    sys.exit(main())
