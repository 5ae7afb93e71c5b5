"""Reports of a day, a week or a month: made once it is over, kept, mailed to those who subscribed to them, and given as
PDF, CSV and JSON."""

from analytics.reports.wording import shown

__all__ = ["shown"]
