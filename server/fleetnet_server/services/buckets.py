"""So much a second, and some at once: for all together, and for each of those who are known by something.

What must stay true: a table of them is no larger than twice those who have spent lately, and FORGET_EVERY; whoever is
forgotten could not be told from somebody new.
"""

from collections.abc import Hashable
from typing import Final, Generic, TypeVar

FORGET_EVERY: Final = 1_000

Who = TypeVar("Who", bound=Hashable)


class Bucket:
    """So many a second, and some at once. What is spent beyond that is a debt."""

    def __init__(self, per_s: float, at_once: float, now_s: float) -> None:
        self._per_s = per_s
        self._at_once = at_once
        self._level = at_once
        self._now_s = now_s

    def spend(self, amount: float, now_s: float) -> float:
        """Take it, and say after how many seconds it is paid for."""
        self._level = self.level(now_s) - amount
        self._now_s = now_s
        return max(0.0, -self._level / self._per_s)

    def give_back(self, amount: float) -> None:
        """What was taken is not used."""
        self._level = min(self._at_once, self._level + amount)

    def level(self, now_s: float) -> float:
        """How much may be spent without a debt."""
        return min(self._at_once, self._level + max(0.0, now_s - self._now_s) * self._per_s)

    def owes_s(self, now_s: float) -> float:
        """After how many seconds what was spent is paid for."""
        return max(0.0, -self.level(now_s) / self._per_s)

    def full(self, now_s: float) -> bool:
        """True if nobody can tell it from a new one."""
        return self.level(now_s) >= self._at_once


class Buckets(Generic[Who]):
    """One for each, all alike. Who is counted here is to be one of a bounded number: it is nobody's guess."""

    def __init__(self, per_s: float, at_once: float) -> None:
        self._per_s = per_s
        self._at_once = at_once
        self._of: dict[Who, Bucket] = {}
        self._forget_at = FORGET_EVERY

    def __len__(self) -> int:
        return len(self._of)

    def spend_one(self, who: Who, now_s: float) -> bool:
        """Take one if that makes no debt; False, and nothing is taken, where it would."""
        its = self._of.get(who)
        if its is None:
            if len(self._of) >= self._forget_at:
                self._of = {other: bucket for other, bucket in self._of.items() if not bucket.full(now_s)}
                self._forget_at = len(self._of) + FORGET_EVERY
            its = self._of[who] = Bucket(self._per_s, self._at_once, now_s)
        if its.level(now_s) < 1:
            return False
        its.spend(1, now_s)
        return True
