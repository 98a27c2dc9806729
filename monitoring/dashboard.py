"""Prints dashboard.json, the Grafana dashboard of a collector; after a change, print it into the file anew.

Import the JSON in Grafana (Dashboards, New, Import) and choose the Prometheus that scrapes the collectors.
"""

import json
import sys
from typing import Any

_SOURCE = {"type": "prometheus", "uid": "${datasource}"}
_HERE = 'instance=~"$instance"'
_WIDTH, _HEIGHT = 8, 7  # of a panel; Grafana's grid is 24 wide

# Title, unit, and what to draw: expressions by legend. `{here}` is the choice of collectors.
PANELS: tuple[tuple[str, str, dict[str, str]], ...] = (
    ("Hosts", "short", {"{{state}}": "sum by (state) (fleetnet_agents{{{here}}})"}),
    ("Rows stored", "rowsps", {"{{kind}}": "sum by (kind) (rate(fleetnet_rows_total{{{here}}}[5m]))"}),
    (
        "Since data was stored last",
        "s",
        {"{{instance}}": "time() - fleetnet_last_stored_timestamp_seconds{{{here}}}"},
    ),
    (
        "Commits",
        "s",
        {
            "median": "histogram_quantile(0.5, sum by (le) (rate(fleetnet_commit_seconds_bucket{{{here}}}[5m])))",
            "1 in 100": "histogram_quantile(0.99, sum by (le) (rate(fleetnet_commit_seconds_bucket{{{here}}}[5m])))",
        },
    ),
    ("Waiting for the database", "short", {"{{instance}}": "fleetnet_queued_works{{{here}}}"}),
    ("Commits refused", "short", {"{{instance}}": "increase(fleetnet_commits_failed_total{{{here}}}[5m])"}),
    (
        "Backlog on hosts",
        "bytes",
        {"bytes": "sum(fleetnet_spool_bytes{{{here}}})"},
    ),
    ("Oldest backlog", "s", {"{{instance}}": "fleetnet_spool_oldest_seconds{{{here}}}"}),
    ("Gaps recorded", "short", {"by the {{by}}": "sum by (by) (increase(fleetnet_gaps_total{{{here}}}[5m]))"}),
    (
        "Streams",
        "short",
        {
            "opened": "sum(rate(fleetnet_streams_opened_total{{{here}}}[5m]))",
            "closed in {{how}}": "sum by (how) (rate(fleetnet_streams_closed_total{{{here}}}[5m]))",
        },
    ),
    (
        "Connections refused",
        "short",
        {"{{port}} port": "sum by (port) (rate(fleetnet_peers_refused_total{{{here}}}[5m]))"},
    ),
    (
        "Answers, 1 in 20",
        "s",
        {
            "{{question}}": "histogram_quantile(0.95, sum by (question, le) "
            "(rate(fleetnet_question_seconds_bucket{{{here}}}[5m])))"
        },
    ),
    ("Memory", "bytes", {"{{instance}}": "process_resident_memory_bytes{{{here}}}"}),
    ("Processor", "percentunit", {"{{instance}}": "rate(process_cpu_seconds_total{{{here}}}[5m])"}),
    (
        "Certificates end in",
        "s",
        {"{{certificate}}": "fleetnet_certificate_expiry_timestamp_seconds{{{here}}} - time()"},
    ),
)


def dashboard() -> dict[str, Any]:
    """The dashboard as Grafana has it."""
    return {
        "title": "fleetnet collectors",
        "uid": "fleetnet-collectors",
        "schemaVersion": 39,
        "tags": ["fleetnet"],
        "time": {"from": "now-6h", "to": "now"},
        "refresh": "1m",
        "templating": {"list": [_choice_of_source(), _choice_of_collector()]},
        "panels": [_panel(number, *panel) for number, panel in enumerate(PANELS)],
    }


def _choice_of_source() -> dict[str, Any]:
    return {"name": "datasource", "label": "Prometheus", "type": "datasource", "query": "prometheus"}


def _choice_of_collector() -> dict[str, Any]:
    query = "label_values(fleetnet_last_stored_timestamp_seconds, instance)"
    return {
        "name": "instance",
        "label": "Collector",
        "type": "query",
        "datasource": _SOURCE,
        "query": {"query": query, "refId": "collectors"},
        "multi": True,
        "includeAll": True,
        "allValue": ".*",
        "refresh": 2,
    }


def _panel(number: int, title: str, unit: str, drawn: dict[str, str]) -> dict[str, Any]:
    row, column = divmod(number, 24 // _WIDTH)
    return {
        "id": number + 1,
        "title": title,
        "type": "timeseries",
        "datasource": _SOURCE,
        "gridPos": {"x": column * _WIDTH, "y": row * _HEIGHT, "w": _WIDTH, "h": _HEIGHT},
        "fieldConfig": {"defaults": {"unit": unit, "min": 0}, "overrides": []},
        "targets": [
            {"refId": chr(ord("A") + place), "expr": expression.format(here=_HERE), "legendFormat": legend}
            for place, (legend, expression) in enumerate(drawn.items())
        ],
    }


if __name__ == "__main__":
    json.dump(dashboard(), sys.stdout, indent=1)
    print()
