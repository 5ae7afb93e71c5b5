"""When questions that found no good answer are over."""

from collections.abc import Collection
from functools import partial
from uuid import UUID

from django.db import transaction

from accounts.retention.policies import Class
from accounts.retention.sweeps import Sweep, declare_sweep, older
from faqs.gap_forgetting import drop_questions
from faqs.gap_tasks import refresh_gaps
from faqs.models import GapQuestion
from faqs.tasks import queue


def _remove(ids: Collection[UUID]) -> None:
    """What is left of their gaps is made comparable with new questions again, soon."""
    drop_questions(ids)
    transaction.on_commit(partial(queue, refresh_gaps))


declare_sweep(
    Sweep(
        "gap_questions",
        Class.QUESTION,
        lambda as_of: older(GapQuestion.objects.all(), "created_at", Class.QUESTION, as_of),
        _remove,
        person="person",
        batch=200,
    ),
)
