"""A report as JSON: the names of metrics.py and their values, in no language."""

import json
from collections.abc import Mapping
from typing import Any

from analytics.metrics import METRICS
from analytics.models import Report
from analytics.reports.periods import is_final, period_of_report
from analytics.reports.wording import held_tables


def write_json(report: Report) -> bytes:
    return (json.dumps(document_of(report), ensure_ascii=False, indent=2) + "\n").encode()


def document_of(report: Report) -> dict[str, Any]:
    """Everything that stands in it. ``final``: it will not change any more."""
    period = period_of_report(report)
    return {
        "period": str(report.grain),
        "first": period.first.isoformat(),
        "last": period.last.isoformat(),
        "time_zone": report.time_zone,
        "final": is_final(report),
        "persona": _persona(report),
        "currency": report.content.get("currency"),
        "figures": {
            name: {
                "unit": METRICS[name].unit.value,
                "value": report.figures[name][0],
                "before": report.figures[name][1],
            }
            for name in METRICS
            if name in report.figures
        },
        "tables": {name: _table(held) for name, held in held_tables(report)},
        "gaps": report.content.get("gaps"),
    }


# The database keeps no order of names.
def _table(held: Mapping[str, Any]) -> dict[str, Any]:
    rows = [{"name": row["name"], "values": row["values"]} for row in held["rows"]]
    return {"columns": held["columns"], "rows": rows}


def _persona(report: Report) -> dict[str, str] | None:
    persona = report.content.get("persona")
    return {"slug": persona["slug"], "name": persona["name"]} if persona else None
