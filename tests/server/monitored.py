"""What a monitoring system sees of a collector, over plain HTTP."""

import http.client

from prometheus_client.parser import text_string_to_metric_families
from server.agents import DEADLINE_S
from server.running import Running


def get(collector: Running, path: str, method: str = "GET") -> tuple[int, str]:
    """Status and body."""
    connection = http.client.HTTPConnection(collector.metrics_address, timeout=DEADLINE_S)
    try:
        connection.request(method, path)
        answer = connection.getresponse()
        return answer.status, answer.read().decode()
    finally:
        connection.close()


def metrics(collector: Running) -> dict[str, float]:
    """Each sample by its name and labels."""
    status, text = get(collector, "/metrics")
    assert status == 200
    return {
        sample.name + "".join(f"|{value}" for value in sample.labels.values()): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }
