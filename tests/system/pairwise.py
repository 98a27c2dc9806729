"""Combinations of options that have, of each two options, both, either and neither."""

from collections.abc import Sequence
from itertools import combinations, product

Pair = tuple[int, bool, int, bool]  # two options by their numbers, each said or not


def pairwise(options: Sequence[str]) -> list[tuple[str, ...]]:
    """Few combinations with all pairs, always the same ones."""
    left = {(i, a, j, b) for i, j in combinations(range(len(options)), 2) for a, b in product((True, False), repeat=2)}
    rows = []
    while left:
        row = _next_row(len(options), left)
        left -= _pairs_of(row)
        rows.append(tuple(option for option, said in zip(options, row, strict=True) if said))
    return rows


def _pairs_of(row: Sequence[bool]) -> set[Pair]:
    """What a combination tries."""
    return {(i, row[i], j, row[j]) for i, j in combinations(range(len(row)), 2)}


def _next_row(width: int, left: set[Pair]) -> list[bool]:
    """Begins with a pair that is left, then takes for each option what tries most of what is left."""
    i, a, j, b = min(left)
    said: dict[int, bool] = {i: a, j: b}
    for at in range(width):
        if at not in said:
            said[at] = max((False, True), key=lambda value: sum(_tries(said, at, value, pair) for pair in left))
    return [said[at] for at in range(width)]


def _tries(said: dict[int, bool], at: int, value: bool, pair: Pair) -> bool:
    i, a, j, b = pair
    return (i == at and a == value and said.get(j) == b) or (j == at and b == value and said.get(i) == a)
