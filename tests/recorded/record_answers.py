"""Write down what today's collector answers of the recording of the release in the making:
`PYTHONPATH=tests:. python -m recorded.record_answers`. Read the difference before it is committed: an answer that
changed is a question understood otherwise, or a mistake."""

import sys
import tempfile
from pathlib import Path

from fleetnet_proto.v1 import report_pb2
from recorded import playing, streams
from recorded.releases import present_release
from server.running import Running


def main() -> int:
    """Play it to a collector of its own."""
    release = present_release()
    with tempfile.TemporaryDirectory() as directory:
        collector = Running(Path(directory) / "data")
        try:
            with collector.channel(collector.join(playing.HOST)) as channel:
                played = playing.play(channel, streams.read(release / streams.AGENT, report_pb2.AgentMessage))
                found = playing.in_lines(playing.answers(collector, played))
                played.stream.close()
        finally:
            collector.kill()
    (release / streams.ANSWERS).write_text(found)
    print(f"{len(found)} bytes in {release / streams.ANSWERS}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
