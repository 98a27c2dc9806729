"""What the agent and its helper import: the agent its four libraries, the helper none."""

import subprocess
import sys

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
                "main",
                "numbers",
                "protocol",
                "requests",
                "scan",
                "server",
            )
        ),
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
