"""Celery tasks of analytics. All may run twice."""

from datetime import timedelta

from celery import shared_task
from django.utils import timezone

from analytics import reports, rollups
from analytics.moods.counting import count_week
from conversations.languages import note_languages

#: A conversation whose language was not found by then had no question, or its person had processing paused.
LANGUAGES_WITHIN = timedelta(days=2)


@shared_task
def refresh_rollups() -> None:
    """Add up what has changed. A run that another one overlaps does nothing."""
    note_languages(timezone.now() - LANGUAGES_WITHIN)
    rollups.refresh()


@shared_task
def count_moods() -> None:
    """Count mood and topic of the last week's conversations, once, where the operator has that on."""
    count_week(reports.last_week(timezone.now()))


@shared_task
def send_reports() -> None:
    """Make the last week's report once all of it is added up, and mail it."""
    report = reports.make_report(reports.last_week(timezone.now()))
    if report is not None:
        reports.mail_report(report)
