"""The Celery application and its timetable."""

import os
from typing import Any

from celery import Celery
from celery.signals import setup_logging

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "chatbot_project.settings")

app = Celery("nono", task_cls="chatbot_project.task_queue:BoundedTask")
app.config_from_object("django.conf:settings", namespace="CELERY")
app.autodiscover_tasks()

HOUR = 3600.0
app.conf.beat_schedule = {
    "purge-deleted-conversations": {
        "task": "conversations.tasks.purge_deleted_conversations",
        "schedule": HOUR / 6,
    },
    "record-missed-gaps": {"task": "conversations.tasks.record_missed_gaps", "schedule": HOUR},
    "expire-guests": {"task": "accounts.tasks.expire_guests", "schedule": HOUR},
    "send-waiting-mail": {"task": "accounts.tasks.send_waiting_mail", "schedule": 60.0},
    "tend-data-requests": {"task": "accounts.privacy.tasks.tend_requests", "schedule": 60.0},
    "apply-retention": {"task": "accounts.tasks.apply_retention", "schedule": HOUR},
    "clear-expired": {"task": "accounts.tasks.clear_expired", "schedule": HOUR},
    # So long, at most, an event can be taken out unseen; a run that finds nothing asks one query.
    "seal-audit": {"task": "accounts.tasks.seal_audit", "schedule": 5.0, "options": {"expires": 5.0}},
    "checkpoint-audit": {"task": "accounts.tasks.checkpoint_audit", "schedule": HOUR},
    "refresh-knowledge": {"task": "faqs.tasks.refresh_knowledge", "schedule": HOUR / 12},
    "refresh-rollups": {"task": "analytics.tasks.refresh_rollups", "schedule": HOUR / 6},
    "count-moods": {"task": "analytics.tasks.count_moods", "schedule": HOUR},
    # Finds nothing to do but once a day.
    "sample-replies": {"task": "analytics.tasks.sample_replies", "schedule": HOUR},
    "ask-judge": {"task": "analytics.tasks.ask_judge", "schedule": HOUR / 6},
    "send-reports": {"task": "analytics.tasks.send_reports", "schedule": HOUR / 6},
    "refresh-gaps": {"task": "faqs.tasks.refresh_gaps", "schedule": HOUR},
}

# What beat started while no worker was there is worth nothing once the next is due.
for _entry in app.conf.beat_schedule.values():
    _entry.setdefault("options", {}).setdefault("expires", float(_entry["schedule"]))


@setup_logging.connect  # type: ignore[untyped-decorator]  # Celery ships no types
def keep_our_logging(**kwargs: Any) -> None:
    """Celery would set logging up by itself: it was done when Django was set up (chatbot_project/logs.py)."""
