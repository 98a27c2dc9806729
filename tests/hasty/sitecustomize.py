"""For an agent whose PYTHONPATH begins with this folder: a round in which it tries again takes seconds."""

import random

from fleetnet_agent.uplink import backoff

_CAP_S = 4.0


class _Hasty(backoff.Backoff):
    def __init__(self, draw: random.Random) -> None:
        super().__init__(draw, cap_s=_CAP_S)


backoff.Backoff = _Hasty  # type: ignore[misc, assignment]  # before the agent looks for it
