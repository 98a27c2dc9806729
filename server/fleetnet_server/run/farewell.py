"""When the hosts of a collector that stops are to come back: in turn, as if called up one by one.

What must stay true: the turns of a fleet lie evenly, so that no second has more than its share, whatever chance does;
none comes before a collector that is started again at once can be there.
"""

import random
from collections.abc import Iterator

# Streams end, calls end, and another start takes a second or two.
FROM_S = 5.0
# Few are welcome at once; more come 20 a second, and however many within a round of those that try by themselves: when
# nobody is there yet, they do so as well.
_FEW_S = 2.0
_A_HOST_S = 0.05
_MANY_S = 50.0


def turns_ms(hosts: int, draw: random.Random) -> Iterator[int]:
    """After how many milliseconds each is to come back; without end, for some may yet come while it stops."""
    slots = max(1, hosts)
    slot_s = min(max(_FEW_S, _A_HOST_S * slots), _MANY_S) / slots
    order = list(range(slots))
    draw.shuffle(order)
    while True:
        for slot in order:
            yield int((FROM_S + (slot + draw.random()) * slot_s) * 1_000)
