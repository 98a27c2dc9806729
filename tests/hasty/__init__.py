"""Agents that come back within seconds of a refusal, where others take up to a minute: see `sitecustomize.py` here.

How long agents do wait is held in tests/agent/test_backoff.py.
"""

from pathlib import Path

ENVIRONMENT = {"PYTHONPATH": str(Path(__file__).parent)}  # of the agent, which is the console script as ever
