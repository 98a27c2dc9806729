"""An answer's pages up to its limit, and its end."""

from collections.abc import Iterator
from typing import TypeVar

from fleetnet_server.records import End

T = TypeVar("T")


def cut(pages: Iterator[tuple[T, ...]], limit: int) -> Iterator[tuple[T, ...] | End]:
    """The pages up to the limit (0: all), and the end, which says whether there was more."""
    items = 0
    for page in pages:
        kept = page[: limit - items] if limit else page
        items += len(kept)
        if kept:
            yield kept
        if len(kept) < len(page):
            yield End(items, truncated=True)
            return
    yield End(items, truncated=False)
