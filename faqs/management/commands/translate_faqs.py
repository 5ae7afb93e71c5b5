from argparse import ArgumentParser
from collections.abc import Iterator
from typing import Any

from django.conf import settings
from django.core.exceptions import ValidationError
from django.core.management.base import BaseCommand, CommandError

from chatbot_project.lib.errors import ApplicationError
from faqs.categories import descendants
from faqs.models import FAQ
from faqs.models.catalog import validate_language
from faqs.translation import draft_translation, make_translator, missing_translation
from faqs.translators import Translator

# After one of these, every further FAQ would fail alike.
ENDS_IT = frozenset({"translator_quota", "translator_refused", "translator_not_configured", "llm_refused"})


class Command(BaseCommand):
    help = (
        "Draft translations of published FAQs that lack them, by the service that TRANSLATOR names, for editors to "
        "approve in the admin. Nothing is published, and what has a translation or a draft of one is left alone."
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--to", required=True, metavar="LANGUAGE", help="the language to translate to, such as de")
        parser.add_argument("--category", metavar="SLUG", help="only this category and those below it")
        parser.add_argument("--dry-run", action="store_true", help="say what would be translated, and do nothing")

    def handle(self, *args: Any, to: str, category: str | None, dry_run: bool, **options: Any) -> None:
        language = to.strip().lower()
        try:
            validate_language(language)
            translator = make_translator()
        except (ValidationError, ApplicationError) as error:
            raise CommandError(_said(error)) from None
        failed = count = 0
        for faq in lacking_translation(language, category):
            count += 1
            if dry_run:
                self.stdout.write(f"{faq.language}  {faq.question}")
            elif not self._draft(faq, language, translator):
                failed += 1
        if dry_run:
            self.stdout.write(f"{count} to translate by {translator.name}. Nothing was changed: this was a dry run.")
            return
        self.stdout.write(f"{count - failed} drafted, {failed} failed.")
        if failed:
            raise CommandError("Not everything was translated. Run it again for the rest.")

    def _draft(self, faq: FAQ, language: str, translator: Translator) -> bool:
        """Whether it was drafted; says so. Raises CommandError where no other FAQ would be."""
        try:
            draft = draft_translation(faq=faq, language=language, actor=None, translator=translator)
        except (ApplicationError, ValidationError) as error:
            self.stderr.write(f"{faq.question}: {_said(error)}")
            if isinstance(error, ApplicationError) and error.code in ENDS_IT:
                raise CommandError("Stopped: the next ones would fail alike.") from None
            return False
        self.stdout.write(f"{faq.question}: {draft.question}")
        return True


def lacking_translation(language: str, category: str | None) -> Iterator[FAQ]:
    """Published FAQs without a translation in ``language``, one of each group: the one in the site's own language where
    there is one, else the oldest. Raises CommandError for an unknown category."""
    faqs = FAQ.objects.in_force().select_related("category", "owner").order_by("created_at", "pk")
    if category is not None:
        within = descendants([category])
        if not within:
            raise CommandError(f"There is no category {category}.")
        faqs = faqs.filter(category__in=within)
    seen = set()
    for faq in sorted(faqs, key=lambda faq: faq.language != settings.LANGUAGE_CODE):
        if faq.translation_group not in seen and missing_translation(faq, language):
            seen.add(faq.translation_group)
            yield faq


def _said(error: ApplicationError | ValidationError) -> str:
    return error.detail if isinstance(error, ApplicationError) else " ".join(error.messages)
