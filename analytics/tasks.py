"""Celery tasks of analytics. All may run twice."""

from datetime import timedelta

from celery import shared_task
from django.utils import timezone

from analytics import rollups
from conversations.languages import note_languages

#: A conversation whose language was not found by then had no question, or its person had processing paused.
LANGUAGES_WITHIN = timedelta(days=2)


@shared_task
def refresh_rollups() -> None:
    """Add up what has changed. A run that another one overlaps does nothing."""
    note_languages(timezone.now() - LANGUAGES_WITHIN)
    rollups.refresh()
