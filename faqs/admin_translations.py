"""The editors' way to translations: an action of the list of FAQs for each language of the site."""

from collections.abc import Callable
from typing import Any

import structlog
from django.conf import settings
from django.contrib import admin, messages
from django.db.models import QuerySet
from django.http import HttpRequest
from django.utils.translation import gettext_lazy as _
from django.utils.translation import ngettext
from kombu.exceptions import OperationalError

from chatbot_project.lib.errors import ApplicationError
from faqs.models import FAQ
from faqs.translation import make_translator, missing_translation
from faqs.translation_tasks import draft_translation

log = structlog.get_logger(__name__)

Action = Callable[[Any, HttpRequest, QuerySet[FAQ]], None]


def draft_translation_action(language: str) -> Action:
    """An admin action that has drafts in ``language`` made of the chosen FAQs; for those who may add FAQs."""

    @admin.action(
        description=_("Draft translations: %(language)s") % {"language": language_label(language)}, permissions=["add"]
    )
    def draft(modeladmin: Any, request: HttpRequest, queryset: QuerySet[FAQ]) -> None:
        _queue_drafts(request, queryset, language)

    draft.__name__ = f"draft_translation_{language.replace('-', '_')}"
    return draft


def translation_actions() -> list[Action]:
    """An action for each language of the site."""
    return [draft_translation_action(code) for code, _name in settings.LANGUAGES]


def language_label(language: str) -> Any:
    """The language's name for the reader; its code where the site has no name for it."""
    return dict(settings.LANGUAGES).get(language, language)


def _queue_drafts(request: HttpRequest, chosen: QuerySet[FAQ], language: str) -> None:
    """Queue what lacks a translation, and say how many that are."""
    try:
        make_translator()
    except ApplicationError as error:
        messages.error(request, error.detail)
        return
    lacking = [faq for faq in chosen.exclude(status=FAQ.Status.ARCHIVED) if missing_translation(faq, language)]
    try:
        for faq in lacking:
            draft_translation.apply_async((str(faq.pk), language, str(request.user.pk)), retry=False)
    except OperationalError as error:
        log.warning("translation.not_queued", language=language, error=type(error).__name__)
        messages.error(request, _("Background work is not available at the moment. Try again later."))
        return
    text = ngettext(
        "%(count)d translation is being drafted; it appears in the list as a draft.",
        "%(count)d translations are being drafted; they appear in the list as drafts.",
        len(lacking),
    )
    messages.success(request, text % {"count": len(lacking)})
