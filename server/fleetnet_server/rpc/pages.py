"""Answers in pages: as many as their size needs, in their order."""

from collections.abc import Iterable, Iterator
from typing import TypeVar

from google.protobuf.message import Message

# A client takes 4 MiB in one message unless it says otherwise; a page is closed when it is beyond this.
PAGE_BYTES = 1024 * 1024

Item = TypeVar("Item", bound=Message)


def in_pages(items: Iterable[Item]) -> Iterator[list[Item]]:
    """What belongs on each page; no page is empty."""
    page: list[Item] = []
    size_bytes = 0
    for item in items:
        page.append(item)
        size_bytes += item.ByteSize()
        if size_bytes > PAGE_BYTES:
            yield page
            page, size_bytes = [], 0
    if page:
        yield page
