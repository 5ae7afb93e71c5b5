"""Celery tasks of the knowledge: vectors of what is published, and the matcher. All may run twice, or die half-way."""

from typing import Any

import structlog
from celery import shared_task
from django.db import OperationalError
from kombu.exceptions import OperationalError as BrokerError

from chatbot_project.lib.db import named_lock
from faqs.embedding import EmbeddingError
from faqs.indexing import Busy, fill_index, waiting_phrasings
from faqs.matching import is_stale, train_and_store
from faqs.models import KnowledgeState
from faqs.state import knowledge_state
from faqs.translation_tasks import draft_translation  # noqa: F401  a worker registers what it finds in this module

log = structlog.get_logger(__name__)

EMBED_AFTER = 1.0  # seconds after a change: the changes of a burst are embedded together
TRAIN_AFTER = 3.0
WITHIN_SECONDS = 3600  # waiting for a worker and tried again, in all; refresh_knowledge looks every five minutes
SLICE = 300.0  # seconds that one task embeds before it hands over to the next
TRAINING = "faqs.training"


def queue(task: Any, *arguments: Any, countdown: float = 0.0) -> None:
    """Queue a task; without a broker the timetable's next round does it."""
    try:
        task.apply_async(arguments, countdown=countdown, retry=False)
    except BrokerError as error:
        log.warning("knowledge.not_queued", task=task.name, error=type(error).__name__)


@shared_task(
    autoretry_for=(EmbeddingError, OperationalError, Busy),
    retry_backoff=5,
    retry_backoff_max=600,
    retry_jitter=True,
    max_retries=8,
    expires=WITHIN_SECONDS,
)
def embed_phrasings() -> None:
    """Make the vectors that are missing, then have the matcher trained on them."""
    if not fill_index(seconds=SLICE):
        queue(embed_phrasings)
        return
    state = knowledge_state()
    if is_stale(state):
        queue(train_matcher, state.revision, countdown=TRAIN_AFTER)


@shared_task(expires=WITHIN_SECONDS)
def train_matcher(revision: int = 0) -> bool:
    """Train a matcher if the one in force is stale; whether one came into force.

    ``revision`` is the knowledge's when the training was asked for: where it is past that, whoever changed it has asked
    as well and is waited for, so that a burst of changes is learned once. One training at a time: who finds another at
    work leaves, since that one looks again when it is done.
    """
    before = knowledge_state()
    if revision and before.revision > revision:
        return False
    with named_lock(TRAINING) as is_mine:
        if not is_mine or not is_stale(before) or _is_incomplete(before):
            return False
        trained = train_and_store()
    after = knowledge_state()
    if after.revision > before.revision:  # whoever asked meanwhile found this one at work, and left
        queue(train_matcher, after.revision, countdown=TRAIN_AFTER)
    return trained is not None


def _is_incomplete(state: KnowledgeState) -> bool:
    return state.model is None or waiting_phrasings(state.model).exists()


@shared_task
def refresh_knowledge() -> None:
    """Do what was lost on the way: vectors that are missing, a matcher that is stale."""
    state = knowledge_state()
    if _is_incomplete(state):
        queue(embed_phrasings)
    elif is_stale(state):
        queue(train_matcher)
