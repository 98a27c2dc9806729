"""An answer's pages up to its limit, and its end."""

from collections.abc import Generator, Iterator
from typing import TypeVar

from fleetnet_server.records import End

T = TypeVar("T")


def cut(pages: Iterator[tuple[T, ...]], limit: int) -> Generator[tuple[T, ...], None, End]:
    """The pages up to the limit (0: all); returns the end, which says whether there was more."""
    items = 0
    for page in pages:
        kept = page[: limit - items] if limit else page
        items += len(kept)
        if kept:
            yield kept
        if len(kept) < len(page):
            return End(items, truncated=True)
    return End(items, truncated=False)
