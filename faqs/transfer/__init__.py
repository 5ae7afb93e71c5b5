"""FAQs out to files and back in: CSV for spreadsheets, JSON for everything. docs/faqs.md describes both."""

from faqs.transfer.exporting import export_faqs
from faqs.transfer.files import COLUMNS, MAX_BYTES, MAX_ROWS, BadImportFile
from faqs.transfer.importing import import_faqs
from faqs.transfer.report import ImportReport, Outcome, RowReport

__all__ = [
    "COLUMNS",
    "MAX_BYTES",
    "MAX_ROWS",
    "BadImportFile",
    "ImportReport",
    "Outcome",
    "RowReport",
    "export_faqs",
    "import_faqs",
]
