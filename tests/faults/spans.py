"""Sets of time as sorted lists of spans `(from_us, to_us)` that do not overlap. Pure."""

from collections.abc import Iterable

Span = tuple[int, int]


def union(spans: Iterable[Span]) -> list[Span]:
    """Sorted and joined; empty ones are left out."""
    joined: list[Span] = []
    for begin, end in sorted(span for span in spans if span[0] < span[1]):
        if joined and begin <= joined[-1][1]:
            joined[-1] = (joined[-1][0], max(end, joined[-1][1]))
        else:
            joined.append((begin, end))
    return joined


def minus(spans: list[Span], others: list[Span]) -> list[Span]:
    """What of the first is not in the others; both as `union` gives them."""
    left = []
    for begin, end in spans:
        for other_begin, other_end in others:
            if other_end <= begin:
                continue
            if other_begin >= end:
                break
            if begin < other_begin:
                left.append((begin, other_begin))
            begin = max(begin, other_end)
            if begin >= end:
                break
        if begin < end:
            left.append((begin, end))
    return left


def common(spans: list[Span], others: list[Span]) -> list[Span]:
    """What is in both."""
    return minus(spans, minus(spans, others))


def length_us(spans: Iterable[Span]) -> int:
    """All together."""
    return sum(end - begin for begin, end in spans)


def touches(span: Span, others: Iterable[Span]) -> bool:
    """Whether they have a moment in common, ends included."""
    return any(begin <= span[1] and span[0] <= end for begin, end in others)
