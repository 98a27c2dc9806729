"""The exit statuses, fixed so that scripts can rely on them, and what `fleetnet help exit-codes` says of them."""

FOUND = 0
NOTHING = 1
VIOLATED = 1  # by `audit`
WARNED = 1  # by `doctor`
FAILED = 2
PARTIAL = 3
DENIED = 4
UNREACHABLE = 5
INTERRUPTED = 130  # 128 + SIGINT, as shells have it
BROKEN_PIPE = 141  # 128 + SIGPIPE, likewise

MEANINGS = {
    FOUND: "found",
    NOTHING: "nothing found, and every host asked was fresh",
    FAILED: "wrong usage, an unknown host, or an error",
    PARTIAL: "answered, but stale or partial: a silent host, a gap, what is no longer kept, holders that nobody could "
    "see, an answer that broke off",
    DENIED: "not authorised",
    UNREACHABLE: "the collector cannot be reached",
    INTERRUPTED: "interrupted (Ctrl-C)",
    BROKEN_PIPE: "whoever read the answer had enough of it, as head does",
}


# What the statuses of `diff` mean, where it is something else.
OF_COMPARISON = {FOUND: "the same", NOTHING: "different", PARTIAL: "not everything is known"}
# And of `doctor`.
OF_DOCTOR = {FOUND: "all is well", WARNED: "warnings alone", FAILED: "a problem"}


def of_comparison(status: int) -> int:
    """As diff(1) has it: 0 where nothing differs."""
    return {FOUND: NOTHING, NOTHING: FOUND}.get(status, status)


def status_of(found: bool, whole: bool) -> int:
    """Partial outranks nothing found: where a host was silent, nothing found does not mean that nothing is there."""
    if not whole:
        return PARTIAL
    return FOUND if found else NOTHING
