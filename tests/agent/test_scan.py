"""Who holds which sockets, from a /proc of files and from the real one."""

import os
import re
import socket
import subprocess
import sys
from pathlib import Path

import pytest
from agent.proc_tree import ProcTree
from fleetnet_agent.helper.scan import Answer, Question, describe, program, scan, start_ticks


@pytest.fixture
def proc(tmp_path: Path) -> ProcTree:
    return ProcTree(tmp_path / "proc")


def held(answer: Answer) -> dict[int, tuple[int, ...]]:
    return {process.pid: process.inodes for process in answer.processes}


def open_links() -> list[str]:
    """What this process has open."""
    return [os.readlink(each) for each in Path("/proc/self/fd").iterdir() if os.path.lexists(each)]


def test_every_process_that_holds_a_socket_is_named(proc: ProcTree) -> None:
    proc.add(10, sockets=[5, 6, 6])
    proc.add(11, sockets=[6])
    proc.add(12)
    answer = scan(proc.root, Question())
    assert held(answer) == {10: (5, 6), 11: (6,)}
    assert set(answer.pids) == {1, 10, 11, 12}
    assert answer.unreadable == ()


def test_only_what_was_asked_for_is_answered(proc: ProcTree) -> None:
    proc.add(10, sockets=[5, 6])
    proc.add(11, sockets=[6, 7])
    proc.add(12, sockets=[7])
    assert held(scan(proc.root, Question(inodes=frozenset({5, 7})))) == {10: (5,), 11: (7,), 12: (7,)}
    assert held(scan(proc.root, Question(pids=frozenset({11})))) == {11: (6, 7)}
    assert held(scan(proc.root, Question(skip=frozenset({11, 12})))) == {10: (5, 6)}


def test_a_process_is_told_with_its_name_its_executable_its_program_and_its_start(proc: ProcTree) -> None:
    proc.add(10, "we (ird) S", [5], exe="/usr/sbin/nginx (deleted)", cmdline=b"nginx: master\0", ticks=777)
    (process,) = scan(proc.root, Question()).processes
    assert (process.name, process.exe, process.program, process.start_ticks) == (
        "we (ird) S",
        "/usr/sbin/nginx",
        "nginx: master",
        777,
    )


def test_an_executable_that_may_not_be_read_is_empty(proc: ProcTree) -> None:
    proc.add(10, sockets=[5], exe="")
    assert scan(proc.root, Question()).processes[0].exe == ""


def test_a_process_that_ends_meanwhile_is_left_out(proc: ProcTree) -> None:
    proc.add(10, sockets=[5])
    (proc.root / "10/stat").unlink()
    proc.add(11, sockets=[5])
    (proc.root / "11/fd/3").unlink()
    (proc.root / "12").mkdir()
    assert held(scan(proc.root, Question())) == {}


def test_a_process_that_may_not_be_read_is_reported(proc: ProcTree) -> None:
    if os.geteuid() != 0:
        proc.add(10, sockets=[5])
        (proc.root / "10/fd").chmod(0o000)
        assert scan(proc.root, Question()).unreadable == (10,)
        return
    code = (  # root may read everything, so another user has to look
        "import os; from pathlib import Path; from fleetnet_agent.helper.scan import scan, Question;"
        "os.setgroups([]); os.setgid(65534); os.setuid(65534);"
        "print(*scan(Path('/proc'), Question()).unreadable)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert str(os.getpid()) in done.stdout.split()


def test_names_that_are_not_text_become_text(proc: ProcTree) -> None:
    proc.add(10, sockets=[5], cmdline=b"\xff\xfe\0")
    assert scan(proc.root, Question()).processes[0].program == "��"


def test_a_stat_file_without_a_start_is_an_error() -> None:
    with pytest.raises(ValueError, match="start"):
        start_ticks(b"1 (x) S 0 0")


@pytest.mark.parametrize(
    ("cmdline", "shown"),
    [
        (b"/usr/sbin/nginx\0-g\0daemon off;\0", "nginx"),
        (b"nginx: worker process\0", "nginx: worker p"),
        (b"python3\0script.py\0", "python3"),
        (b"./relative/path\0", "./relative/path"),
        (b"/opt/with blank/a/b c\0", "b c"),
        (b"/usr/lib/averyveryverylongname\0", "averyveryverylo"),
        (b"", ""),
        (b"/" + b"x" * 600 + b"/name\0", "x" * 15),  # netstat reads 511 bytes
    ],
)
def test_a_program_is_what_netstat_shows_of_it(cmdline: bytes, shown: str) -> None:
    assert program(812, cmdline) == shown


@pytest.mark.root  # where netstat is expected
@pytest.mark.parametrize(
    "argv0", ["/usr/sbin/longer-than-the-column-allows", "relative/name", "setproctitle: all of it", "/bin/x y/z"]
)
def test_the_program_is_the_one_that_the_real_netstat_shows(argv0: str) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
        child = subprocess.Popen(
            [argv0, "-c", "import sys; print(flush=True); sys.stdin.read()"],
            executable=sys.executable,
            pass_fds=[listener.fileno()],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
        )
    with child:
        assert child.stdout
        child.stdout.readline()
        shown = subprocess.run(["netstat", "-tlnp"], capture_output=True, text=True, check=True).stdout
        ours = describe(Path("/proc"), child.pid)
        assert child.stdin
        child.stdin.close()
    (line,) = re.findall(rf"^tcp .*127\.0\.0\.1:{port} .*LISTEN +(.*?) *$", shown, re.MULTILINE)
    assert ours
    assert line == f"{child.pid}/{ours.program}".rstrip()


def test_the_real_proc_shows_this_process_with_its_socket() -> None:
    with socket.socket() as one:
        inode = os.fstat(one.fileno()).st_ino
        answer = scan(Path("/proc"), Question(inodes=frozenset({inode}), pids=frozenset({os.getpid()})))
    (process,) = answer.processes
    assert (process.pid, process.inodes) == (os.getpid(), (inode,))
    assert process.exe == os.path.realpath("/proc/self/exe")


@pytest.mark.parametrize("every", [1, 2, 3, 50])
def test_descriptors_are_all_found_whichever_numbers_are_free(every: int) -> None:
    held = [socket.socket() for _ in range(400)]  # more than there are names ready
    try:
        for one in held[: len(held) // 2 : every] if every > 1 else held[-200:]:
            one.close()
        inodes = {os.fstat(one.fileno()).st_ino for one in held if one.fileno() >= 0}
        (process,) = scan(Path("/proc"), Question(pids=frozenset({os.getpid()}))).processes
        assert inodes <= set(process.inodes)
        assert set(process.inodes) == {int(link[8:-1]) for link in open_links() if link.startswith("socket:")}
    finally:
        for one in held:
            one.close()


def test_a_file_named_like_a_socket_is_none(tmp_path: Path) -> None:
    with socket.socket() as one, (tmp_path / "x\nsocket:[123456789]").open("w"):
        (process,) = scan(Path("/proc"), Question(pids=frozenset({os.getpid()}))).processes
        assert os.fstat(one.fileno()).st_ino in process.inodes
        assert 123456789 not in process.inodes
