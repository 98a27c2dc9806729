"""Each test here that takes a folder runs on each engine."""

from server.databases import pytest_generate_tests

__all__ = ["pytest_generate_tests"]
