"""A line of the log is one line, whatever a host called itself."""

import logging

import pytest
import structlog
from fleetnet_server import logs


@pytest.fixture(autouse=True)
def _as_before() -> object:
    handlers, level = logging.root.handlers[:], logging.root.level
    yield
    structlog.reset_defaults()
    logging.root.handlers[:], logging.root.level = handlers, level


def test_text_of_a_host_can_neither_forge_a_line_nor_speak_to_a_terminal(capsys: pytest.CaptureFixture[str]) -> None:
    logs.configure()
    structlog.get_logger().info("stream opened", agent_version='1\nlevel=info event="forged"\x1b[31m\u202e')
    lines = capsys.readouterr().err.splitlines()
    assert len(lines) == 1
    assert "\x1b" not in lines[0]
    assert "\u202e" not in lines[0]
    assert r"\n" in lines[0]
    assert r"\x1b[31m\u202e" in lines[0].replace("\\\\", "\\")


def test_long_text_is_cut_with_a_mark() -> None:
    assert logs.escaped("x" * 10_000) == "x" * 299 + "…"


def test_a_line_of_a_library_takes_our_form_and_its_traceback_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    logs.configure()
    try:
        raise ValueError("first\nsecond")
    except ValueError:
        logging.getLogger("grpc").exception("something\nbroke")
    (line,) = capsys.readouterr().err.splitlines()
    assert "logger=grpc" in line
    assert "ValueError: first" in line
    assert "test_logs.py:" in line


def test_what_strangers_cause_is_logged_sparingly_and_counted(capsys: pytest.CaptureFixture[str]) -> None:
    now = 0.0
    logs.configure()
    sparing = logs.Sparing(lambda: now)
    for _ in range(100):
        sparing.warning("peer refused", kind="a")
    sparing.warning("peer refused", kind="b")
    now = 10.0
    sparing.warning("peer refused", kind="a")
    sparing.warning("peer refused", kind="a")
    lines = capsys.readouterr().err.splitlines()
    assert len(lines) == 3
    assert "left_out=99" in lines[2]
