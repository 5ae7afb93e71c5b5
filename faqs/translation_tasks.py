"""Translations in Celery. May run twice: a language that is there already is left alone."""

from typing import Any

import structlog
from celery import Task, shared_task
from django.conf import settings

from accounts.models import User
from chatbot_project.lib.errors import ApplicationError
from faqs import translation
from faqs.models import FAQ

log = structlog.get_logger(__name__)

RETRIES = 5
WAIT_SECONDS = 30
SPARE_SECONDS = 150  # for the last answer, and storing it
WITHIN_SECONDS = 24 * 3600  # waiting for a worker and tried again, in all
WORTH_ANOTHER_TRY = frozenset(
    {"translator_rate_limited", "translator_timeout", "translator_unavailable"}
    | {"llm_rate_limited", "llm_timeout", "llm_unavailable"}
)


@shared_task(bind=True, max_retries=RETRIES, expires=WITHIN_SECONDS, name="faqs.tasks.draft_translation")  # type: ignore[untyped-decorator]
def draft_translation(self: "Task[Any, Any]", faq_id: str, language: str, actor_id: str | None = None) -> None:
    """Draft the translation of an FAQ, and try again later where the service is away or busy."""
    faq = FAQ.objects.select_related("category", "owner").filter(pk=faq_id).first()
    actor = User.objects.filter(pk=actor_id).first() if actor_id else None
    if faq is None:
        return
    try:
        translator = translation.make_translator(seconds=settings.CELERY_TASK_TIME_LIMIT - SPARE_SECONDS)
        draft = translation.draft_translation(faq=faq, language=language, actor=actor, translator=translator)
    except ApplicationError as error:
        log.warning("translation.not_drafted", faq=faq_id, language=language, code=error.code)
        if error.code in WORTH_ANOTHER_TRY:
            wait = max(error.retry_after or 0, WAIT_SECONDS * 2**self.request.retries)
            # It waits in its worker, and one that waited for longer would be taken for cut off.
            raise self.retry(exc=error, countdown=min(wait, settings.CELERY_TASK_TIME_LIMIT)) from None
        return
    log.info("translation.drafted", faq=faq_id, language=language, draft=str(draft.pk), by=draft.drafted_by)
