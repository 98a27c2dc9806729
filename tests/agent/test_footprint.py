"""What the agent and its helper import: the agent its four libraries, the helper none."""

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

SHOW = "; import sys; print(*sorted({name.partition('.')[0] for name in sys.modules}))"
ALLOWED = {"grpc", "google", "psutil", "cryptography", "fleetnet_agent", "fleetnet_proto"}
# Modules that the four bring along, and parts of grpc for others, which it imports where they happen to be installed.
THEIR_PARTS = {"_cffi_backend", "typing_extensions", "cython_runtime", "_openssl", "grpc_tools", "grpc_health"}


def imported(*modules: str) -> set[str]:
    """Packages outside the standard library that are there after an import, but were not before."""
    before, after = (
        set(
            subprocess.run(
                [sys.executable, "-c", code + SHOW], capture_output=True, text=True, check=True
            ).stdout.split()
        )
        for code in ("pass", f"import {', '.join(modules)}")
    )
    return after - before - sys.stdlib_module_names


def test_the_helper_imports_the_standard_library_and_its_own_few_files() -> None:
    code = (
        f"import sys; sys.path[:0] = {[path for path in sys.path if path]!r};"
        "import fleetnet_agent.helper.main;"
        "print(*sorted(name for name in sys.modules if name.startswith('fleetnet')))"
    )
    assert imported("fleetnet_agent.helper.main") == {"fleetnet_agent"}
    # Isolated, without site: whatever a machine puts into every interpreter is not there.
    done = subprocess.run([sys.executable, "-S", "-E", "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split() == [
        "fleetnet_agent",
        "fleetnet_agent.helper",
        *(
            f"fleetnet_agent.helper.{name}"
            for name in (
                "capabilities",
                "census",
                "cmdlines",
                "entering",
                "frames",
                "handed",
                "home",
                "main",
                "numbers",
                "protocol",
                "requests",
                "scan",
                "server",
            )
        ),
        "fleetnet_agent.helptext",
        "fleetnet_agent.memory",
        "fleetnet_agent.notify",
    ]


def test_looking_takes_the_standard_library_alone_and_psutil_where_the_kernel_refuses() -> None:
    assert imported("fleetnet_agent.watch", "fleetnet_agent.facts") == {"fleetnet_agent"}
    assert imported("fleetnet_agent.sources.fallback", "psutil") == {"fleetnet_agent", "psutil"}


def test_the_whole_agent_takes_its_four_libraries_and_nothing_else() -> None:
    packages = imported(
        "fleetnet_agent.main",
        "fleetnet_agent.run",
        "fleetnet_agent.uplink.run",
        "fleetnet_agent.watch",
        "fleetnet_agent.keys",
    )
    # psutil is the fourth, and comes in late: see above.
    assert {name for name in packages - THEIR_PARTS if not name.startswith("_cython_")} == ALLOWED - {"psutil"}


# What the whole agent could do without, and what each of these would bring: MiB.
NEVER = {
    "ssl",  # 4.7 with OpenSSL, as _hashlib
    "_hashlib",
    "cryptography",  # 10
    "psutil",  # 3, but where the kernel refuses
    "shutil",  # 0.6 with its compression libraries
    "uuid",
    "platform",
    "multiprocessing",
    "unittest",
    "email",
    "tempfile",
    "importlib.metadata",
    "concurrent.futures.process",
}


def test_a_running_agent_has_neither_openssl_nor_what_else_it_does_not_use(enrolled: Callable[..., Path]) -> None:
    code = (
        "import sys; from pathlib import Path; from fleetnet_agent import main\n"
        "main._parser()\n"
        "from fleetnet_agent.lean import without_openssl\n"
        "with without_openssl(): from fleetnet_agent.run import _import_the_rest\n"
        f"directory = Path({str(enrolled('a:1'))!r})\n"
        "from fleetnet_agent import state\n"
        "state.load(directory), _import_the_rest(directory)\n"
        "import fleetnet_agent.uplink.run, fleetnet_agent.watch\n"
        "assert 'libcrypto' not in Path('/proc/self/maps').read_text()\n"
        "print(*sys.modules)\n"
        "import ssl; ssl.create_default_context()"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert NEVER & set(done.stdout.split()) == set()


def test_a_running_helper_has_nothing_that_is_large_and_not_used() -> None:
    code = "import sys; from fleetnet_agent.helper import main; main._parser(); print(*sys.modules)"
    done = subprocess.run([sys.executable, "-I", "-c", code], capture_output=True, text=True, check=True)
    large = {"dataclasses", "inspect", "shutil", "subprocess", "logging", "ssl", "_hashlib", "tempfile", "asyncio"}
    assert large & set(done.stdout.split()) == set()
