"""Celery tasks of analytics. All may run twice."""

from datetime import timedelta

from celery import shared_task
from django.utils import timezone

from analytics import rollups
from analytics.models import Grain
from analytics.moods.counting import count_week
from analytics.pages.readying import make_ready
from analytics.quality import judging, sampling
from analytics.reports import delivery
from analytics.reports.making import make_due
from analytics.reports.periods import REPORTED, last_over
from conversations.languages import note_languages

#: A conversation whose language was not found by then had no question, or its person had processing paused.
LANGUAGES_WITHIN = timedelta(days=2)


@shared_task
def refresh_rollups() -> None:
    """Add up what has changed. A run that another one overlaps does nothing."""
    note_languages(timezone.now() - LANGUAGES_WITHIN)
    rollups.refresh()
    make_ready()


@shared_task
def count_moods() -> None:
    """Count mood and topic of the last week's conversations, once, where the operator has that on."""
    count_week(last_over(Grain.WEEK, timezone.now()))


@shared_task
def send_reports() -> None:
    """Make the reports of the days, weeks and months that are over and added up, and mail them to who subscribed."""
    now = timezone.now()
    delivery.follow_settings()
    for grain in REPORTED:
        make_due(grain, now, delivery.personas_wanted(grain))
    delivery.queue(now)
    delivery.send_due()


@shared_task
def sample_replies() -> None:
    """Draw the replies of the days that are over which people shall judge, and tidy their queue."""
    now = timezone.now()
    sampling.clear_queue(now)
    sampling.draw_due(now)


@shared_task
def ask_judge() -> None:
    """Ask a model for its opinion on some of the replies under review, where the operator wants that."""
    judging.judge_due(timezone.now())
