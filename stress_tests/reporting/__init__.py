"""What a stress test found, as a table to read, JSON to keep and a page with plots to look at."""

from .command import Parameters, add_options, at_least, between, finish, loopback_url, raise_file_limit, say
from .machine import Machine, describe_machine
from .report import Check, Plot, Report, Series, Table, at_most, exactly

__all__ = [
    "Check",
    "Machine",
    "Parameters",
    "Plot",
    "Report",
    "Series",
    "Table",
    "add_options",
    "at_least",
    "at_most",
    "between",
    "describe_machine",
    "exactly",
    "finish",
    "loopback_url",
    "raise_file_limit",
    "say",
]
