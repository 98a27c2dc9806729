"""Bringing the collector up, keeping it up, and taking it down: files, locks, ports, signals."""
