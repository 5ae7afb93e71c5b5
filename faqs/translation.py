"""Drafts of an FAQ in another language, for an editor to approve. Nothing here is ever published by itself.

Whatever translates (``translators``), blocks of code, addresses and placeholders come from the original
(``translation_markdown``).
"""

from collections.abc import Sequence

from django.core.exceptions import ValidationError
from django.db import transaction
from django.utils.translation import gettext as _

from accounts.models import User
from chatbot_project.lib.errors import ApplicationError
from faqs.models import FAQ
from faqs.models.catalog import MAX_QUESTION, validate_language
from faqs.phrasings import phrasings_of
from faqs.services import create_faq
from faqs.texts import one_line
from faqs.translation_markdown import Damaged, Fragment, fragment, split_markdown
from faqs.translations import link_translation
from faqs.translators import TranslationError, Translator, make_translator

__all__ = ["Translator", "draft_translation", "make_translator", "missing_translation", "translate_texts"]

Pieces = list[str | Fragment]


def draft_translation(*, faq: FAQ, language: str, actor: User | None, translator: Translator | None = None) -> FAQ:
    """A new draft that says in ``language`` what ``faq`` says, linked to it as its translation; ``drafted_by`` names
    who translated. It takes over category, tags, audience, validity and owner.

    Asks the service outside of any transaction. Raises ApplicationError ``language_invalid`` (400),
    ``translation_exists`` (409), ``not_translatable`` (409) for an archived one, and those of ``Translator``.
    """
    language = language.strip().lower()
    _check_translatable(faq, language)
    translator = translator or make_translator()
    phrasings = phrasings_of(faq)
    documents = [_plain(faq.question), split_markdown(faq.answer), *(_plain(text) for text in phrasings)]
    question, answer, *others = _translate(translator, documents, source=faq.language, target=language)
    if len(one_line(question)) > MAX_QUESTION:
        raise TranslationError("translator_malformed", _("The translated question is too long."), status=502)
    note = _("Translated from %(language)s, version %(number)d") % {"language": faq.language, "number": faq.version}
    with transaction.atomic():
        draft = create_faq(
            actor=actor,
            question=question,
            answer=answer,
            phrasings=[text for text in others if len(one_line(text)) <= MAX_QUESTION],
            note=note,
            language=language,
            category=faq.category,
            tags=faq.tags,
            visibility=faq.visibility,
            valid_from=faq.valid_from,
            valid_until=faq.valid_until,
            owner=faq.owner,
            drafted_by=translator.name,
        )
        # Of two drafts in one language at once, the second fails here and leaves nothing.
        link_translation(faq=faq, other=draft, actor=actor)
    draft.refresh_from_db()
    return draft


def missing_translation(faq: FAQ, language: str) -> bool:
    """Whether no FAQ that is not archived says in ``language`` what ``faq`` says."""
    others = FAQ.objects.filter(translation_group=faq.translation_group, language=language)
    return faq.language != language and not others.exclude(status=FAQ.Status.ARCHIVED).exists()


def _check_translatable(faq: FAQ, language: str) -> None:
    try:
        validate_language(language)
    except ValidationError as error:
        raise ApplicationError("language_invalid", " ".join(error.messages)) from None
    if faq.status == FAQ.Status.ARCHIVED:
        raise ApplicationError("not_translatable", _("An archived FAQ is not translated."), status=409)
    if not missing_translation(faq, language):
        detail = _("Another translation of this FAQ already has this language.")
        raise ApplicationError("translation_exists", detail, status=409)


def translate_texts(translator: Translator, texts: Sequence[str], *, source: str, target: str) -> list[str]:
    """Plain texts of one line each, translated. Raises ApplicationError."""
    return _translate(translator, [_plain(text) for text in texts], source=source, target=target)


def _plain(text: str) -> Pieces:
    return [fragment(text) or text]


def _translate(translator: Translator, documents: Sequence[Pieces], *, source: str, target: str) -> list[str]:
    """Each of ``documents`` put together again from what stays and what was translated."""
    fragments = [piece for pieces in documents for piece in pieces if isinstance(piece, Fragment)]
    given = translator.translate([piece.html for piece in fragments], source=source, target=target)
    translated: dict[int, str] = {}
    damaged: list[Fragment] = []
    for piece, text in zip(fragments, given, strict=True):
        try:
            translated[id(piece)] = piece.restore(text)
        except Damaged:
            damaged.append(piece)
    translated |= _translate_runs(translator, damaged, source=source, target=target)
    return [
        "".join(piece if isinstance(piece, str) else translated[id(piece)] for piece in pieces) for pieces in documents
    ]


def _translate_runs(translator: Translator, damaged: Sequence[Fragment], *, source: str, target: str) -> dict[int, str]:
    """Fragments whose marks did not come back, translated from mark to mark: poorer, but whole.

    Raises TranslationError where a text comes back as something that it must not become, such as a new link.
    """
    runs = [piece.runs() for piece in damaged]
    texts = [part for parts in runs for part, is_text in parts if is_text]
    given = iter(translator.translate(texts, source=source, target=target) if texts else [])
    restored: dict[int, str] = {}
    for piece, parts in zip(damaged, runs, strict=True):
        markup = "".join(next(given).strip() if is_text else part for part, is_text in parts)
        try:
            restored[id(piece)] = piece.restore(markup)
        except Damaged:
            detail = _("The translation came back with parts that the original does not have.")
            raise TranslationError("translator_malformed", detail, status=502) from None
    return restored
