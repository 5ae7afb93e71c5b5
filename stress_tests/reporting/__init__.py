"""What a stress test found: a table that it prints, JSON that it keeps, and a page with plots."""

from .command import between, command_parser, exit_code, keep, parameters_of, run_command, say
from .machine import at_end, describe_machine
from .page import report_page
from .report import Check, Plot, Report, Series, Table, at_most, exactly, ms
from .text import report_text, table_text

__all__ = [
    "Check",
    "Plot",
    "Report",
    "Series",
    "Table",
    "at_end",
    "at_most",
    "between",
    "command_parser",
    "describe_machine",
    "exactly",
    "exit_code",
    "keep",
    "ms",
    "parameters_of",
    "report_page",
    "report_text",
    "run_command",
    "say",
    "table_text",
]
