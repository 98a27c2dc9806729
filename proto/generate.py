"""Generate the Python code for every .proto file, into the place where it is committed.

Usage: python proto/generate.py [OUTPUT_DIR]   (default: beside the .proto files)

tests/proto/test_generated.py runs this into a fresh directory and compares.
"""

import importlib.resources
import os
import sys
from pathlib import Path

from grpc_tools import protoc

ROOT = Path(__file__).resolve().parent


def generate(output: Path) -> None:
    """Write *_pb2.py, *_pb2.pyi, *_pb2_grpc.py and *_pb2_grpc.pyi below `output`."""
    sources = sorted(str(p.relative_to(ROOT)) for p in ROOT.glob("fleetnet_proto/v1/*.proto"))
    # protoc looks for its mypy plugin on the PATH; it stands beside this interpreter.
    os.environ["PATH"] = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
    include = importlib.resources.files("grpc_tools") / "_proto"
    status = protoc.main(
        [
            "protoc",
            f"--proto_path={ROOT}",
            f"--proto_path={include}",
            f"--python_out={output}",
            f"--pyi_out={output}",
            f"--grpc_python_out={output}",
            f"--mypy_grpc_out=quiet:{output}",
            *sources,
        ]
    )
    if status != 0:
        sys.exit(f"protoc ended with status {status}")


if __name__ == "__main__":
    generate(Path(sys.argv[1]) if len(sys.argv) > 1 else ROOT)
