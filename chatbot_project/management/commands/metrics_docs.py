"""``manage.py metrics_docs``: writes the table of metrics into docs/monitoring.md."""

from pathlib import Path
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand

from chatbot_project.lib.metrics import names  # noqa: F401  describes them
from chatbot_project.lib.metrics.registry import DESCRIBED

PAGE = Path(settings.BASE_DIR) / "docs" / "monitoring.md"
BEGIN, END = "<!-- metrics: made by manage.py metrics_docs -->\n", "<!-- end of metrics -->\n"


class Command(BaseCommand):
    help = "Writes the table of metrics into docs/monitoring.md."

    def handle(self, *args: Any, **options: Any) -> None:
        """Write it."""
        PAGE.write_text(with_table(PAGE.read_text()))


def with_table(page: str) -> str:
    """``page`` with the table as it must be now."""
    before, _, rest = page.partition(BEGIN)
    after = rest.partition(END)[2]
    return f"{before}{BEGIN}{table()}{END}{after}"


def table() -> str:
    """Every metric: name and labels, kind, process, meaning."""
    lines = ["| metric | kind | of | what it says |", "|---|---|---|---|"]
    for metric in DESCRIBED.values():
        labels = f"`{{{','.join(metric.labels)}}}`" if metric.labels else ""
        lines.append(f"| `{metric.name}`{labels} | {metric.kind} | {metric.told_by} | {metric.help} |")
    return "\n".join(lines) + "\n"
