"""What a stress test found as a page with plots, beside the table that it prints and the JSON that it keeps."""

from .machine import describe_machine
from .page import report_page
from .report import Check, Plot, Report, Series, Table

__all__ = ["Check", "Plot", "Report", "Series", "Table", "describe_machine", "report_page"]
