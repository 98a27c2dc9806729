"""The states of sockets, and the spellings people know them by.

Names are the kernel's (include/net/tcp_states.h). netstat(8) writes them so; ss(8) has words of its own for some
(misc/ss.c of iproute2: ESTAB, UNCONN) and hyphens for all.
"""

from fleetnet_cli.errors import UsageError, suggestion

STATES = (
    "ESTABLISHED",
    "SYN_SENT",
    "SYN_RECV",
    "FIN_WAIT1",
    "FIN_WAIT2",
    "TIME_WAIT",
    "CLOSE",
    "CLOSE_WAIT",
    "LAST_ACK",
    "LISTEN",
    "CLOSING",
)

_OTHER_SPELLINGS = {
    "ESTAB": "ESTABLISHED",
    "UNCONN": "CLOSE",
    "UNCONNECTED": "CLOSE",
    "CLOSED": "CLOSE",
    "LISTENING": "LISTEN",
    "SYN_RECEIVED": "SYN_RECV",
}


def _folded(text: str) -> str:
    # FIN-WAIT-1, fin_wait1, FINWAIT1 are one word.
    return "".join(c for c in text.upper() if c not in "-_")


_KNOWN = {_folded(s): s for s in STATES} | {_folded(k): v for k, v in _OTHER_SPELLINGS.items()}


def parse_state(text: str) -> str:
    """The kernel's name for a state in any spelling; UsageError with the nearest one otherwise."""
    state = _KNOWN.get(_folded(text))
    if state is None:
        guess = (
            suggestion(text, [*STATES, *_OTHER_SPELLINGS])
            or f"; the states are {', '.join(STATES)}, and UNCONN, which is CLOSE"
        )
        raise UsageError(f'"{text}" is not a socket state{guess}')
    return state
