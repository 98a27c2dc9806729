"""USER as people write it on a command line."""

from fleetnet_cli.errors import UsageError


def parse_user(text: str) -> str:
    """The name of a user; UsageError for a uid, by which no collector finds sockets."""
    if text.isascii() and text.isdigit():
        raise UsageError(
            f"--user {text}: sockets are found by the name of their user and not by its number; "
            "give the name, or ask without and look at uid in -o json"
        )
    return text
