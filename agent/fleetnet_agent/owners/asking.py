"""Reads processes with the best rights there are: through the helper, or by itself where it has none or it is away."""

import os
from typing import Protocol as Interface

from fleetnet_agent.helper.client import HelperUnavailableError
from fleetnet_agent.helper.scan import Answer, Question, scan
from fleetnet_agent.host import Host

HELPER_RESTS_S = 5  # after it did not answer, so that a hanging one does not slow every look
INITIAL_PID_NAMESPACE = 0xEFFFFFFC  # PROC_PID_INIT_INO, include/linux/proc_ns.h


class Helper(Interface):
    """What is wanted of the privileged helper."""

    def scan(self, question: Question) -> Answer:
        """See `helper.scan.scan`. Raises HelperUnavailableError."""


class Asking:
    """Answers questions about processes; says with which rights the last one was answered."""

    def __init__(self, host: Host, helper: Helper | None, *, is_root: bool) -> None:
        self._host = host
        self._helper = helper
        self._is_root = is_root
        self._rests_until_us = 0
        self.in_pid_namespace = _is_in_pid_namespace(host)  # sockets may be held by processes that are not listed
        self.trouble = ""  # why the helper did not answer the last question; "" where it did or there is none

    @property
    def by_helper(self) -> bool:
        """True if the last question was answered by the helper."""
        return self._helper is not None and not self.trouble

    @property
    def privileged(self) -> bool:
        """True if the last question was answered with more than an ordinary user's rights."""
        return self.by_helper or self._is_root

    def scan(self, question: Question) -> Answer:
        """See `helper.scan.scan`. Never raises: what cannot be read at all is as if there were no processes."""
        answer = self._ask_helper(question) or self._scan_here(question)
        hidden = self.in_pid_namespace or 1 not in answer.pids  # proc(5), hidepid
        return Answer(answer.processes, answer.pids, (*answer.unreadable, 0)) if hidden else answer

    def listed(self) -> frozenset[int] | None:
        """All processes there are, without asking the helper; None where that takes its rights, or it is to be tried
        again."""
        if self._helper is None or self.trouble or self.in_pid_namespace:
            return None
        try:
            pids = frozenset(int(name) for name in os.listdir(self._host.proc) if name.isdecimal())
        except OSError:
            return None
        return pids if 1 in pids else None  # proc(5), hidepid

    def _ask_helper(self, question: Question) -> Answer | None:
        if self._helper is None or self._host.boottime_us() < self._rests_until_us:
            return None
        try:
            answer = self._helper.scan(question)
        except HelperUnavailableError as error:
            self.trouble = str(error)
            self._rests_until_us = self._host.boottime_us() + HELPER_RESTS_S * 1_000_000
            return None
        self.trouble = ""
        return answer

    def _scan_here(self, question: Question) -> Answer:
        try:
            return scan(self._host.proc, question)
        except OSError:
            return Answer((), (), ())


def _is_in_pid_namespace(host: Host) -> bool:
    try:
        return os.stat(host.proc / "self/ns/pid").st_ino != INITIAL_PID_NAMESPACE
    except OSError:
        return False
