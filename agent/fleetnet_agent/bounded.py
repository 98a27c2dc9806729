"""Text of a host on its way into protobuf. It is hostile: no row may grow beyond a batch."""

from typing import Final

NAME_BYTES: Final = 64
PATH_BYTES: Final = 512
UNIT_BYTES: Final = 256
DETAIL_BYTES: Final = 512


def bounded(text: str, most_bytes: int) -> str:
    """Text that protobuf can carry: what was not UTF-8 on the host replaced, and cut."""
    if len(text) <= most_bytes and text.isascii():
        return text
    return text.encode("utf-8", "replace")[:most_bytes].decode("utf-8", "ignore")
