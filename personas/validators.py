"""What a persona's fields may hold. Each raises Django's ValidationError, so that forms, services and files agree."""

import re
import unicodedata

from django.conf import settings
from django.core.exceptions import ValidationError
from django.utils.translation import gettext as _

MAX_SUGGESTIONS = 6
MAX_SUGGESTION_LENGTH = 200
MODEL_REF = re.compile(r"[a-z0-9][a-z0-9_.-]*/[^\s/][^\s]*")
LINE_BREAKS = ("\n", "\t")
MAX_CATEGORIES = 50
CATEGORY_SLUG = re.compile(r"[-a-zA-Z0-9_]{1,80}")
#: What a persona may offer where it does not know: ask in other words, a contact, a person.
OFFERS = ("rephrase", "contact", "handover")


def _unwanted(character: str) -> bool:
    """Control characters, lone surrogates and the marks that reorder text for its reader."""
    if character in LINE_BREAKS:
        return False
    return unicodedata.category(character) in ("Cc", "Cs", "Zl", "Zp") or character in "\u202a\u202b\u202c\u202d\u202e"


def validate_text(value: str) -> None:
    """Prose of any number of lines; line breaks are ``\\n`` alone."""
    for character in value:
        if _unwanted(character):
            raise ValidationError(
                _("The character U+%(code)04X does not belong in this text."),
                code="control_character",
                params={"code": ord(character)},
            )


def validate_line(value: str) -> None:
    """Prose of one line."""
    validate_text(value)
    if "\n" in value or "\t" in value:
        raise ValidationError(_("This must be one line without tabs."), code="line_break")


def validate_emoji(value: str) -> None:
    """One pictograph, with its modifiers; not words, which would not fit where it is shown."""
    validate_line(value)
    if value and any(character.isalnum() and character.isascii() and not _is_keycap(value) for character in value):
        raise ValidationError(_("Give one emoji here, not text."), code="not_an_emoji")
    if any(character in "<>&\"'` " for character in value):
        raise ValidationError(_("Give one emoji here, not text."), code="not_an_emoji")


def _is_keycap(value: str) -> bool:
    return len(value) <= 3 and value.endswith("\u20e3")


def validate_suggestions(value: object) -> None:
    """A list of up to six different questions, one line each."""
    if not isinstance(value, list) or not all(isinstance(item, str) for item in value):
        raise ValidationError(_("Give a list of questions."), code="not_a_list")
    if len(value) > MAX_SUGGESTIONS:
        raise ValidationError(
            _("Give at most %(limit)d questions."), code="too_many", params={"limit": MAX_SUGGESTIONS}
        )
    if len(set(value)) != len(value):
        raise ValidationError(_("The same question stands here twice."), code="twice")
    for item in value:
        validate_line(item)
        if not item.strip() or len(item) > MAX_SUGGESTION_LENGTH:
            raise ValidationError(
                _("A question has between 1 and %(limit)d characters."),
                code="length",
                params={"limit": MAX_SUGGESTION_LENGTH},
            )


def validate_model_ref(value: str) -> None:
    """``provider/name`` with a configured provider; the empty text stands for the installation's default model."""
    if not value:
        return
    if not MODEL_REF.fullmatch(value):
        raise ValidationError(_("Write the model as provider/name, for example openai/gpt-4o-mini."), code="syntax")
    provider = value.partition("/")[0]
    if provider not in settings.LLM_PROVIDERS:
        raise ValidationError(
            _("There is no provider “%(provider)s”. Configured: %(known)s."),
            code="unknown_provider",
            params={"provider": provider, "known": ", ".join(sorted(settings.LLM_PROVIDERS)) or _("none")},
        )


def validate_categories(value: object) -> None:
    """A list of different category slugs. Whether there are such categories is for the version to ask."""
    if not isinstance(value, list) or not all(isinstance(item, str) for item in value):
        raise ValidationError(_("Give a list of categories."), code="not_a_list")
    if len(value) > MAX_CATEGORIES:
        raise ValidationError(
            _("Give at most %(limit)d categories."), code="too_many", params={"limit": MAX_CATEGORIES}
        )
    if len(set(value)) != len(value):
        raise ValidationError(_("The same category stands here twice."), code="twice")
    for item in value:
        if not CATEGORY_SLUG.fullmatch(item):
            raise ValidationError(_("“%(slug)s” is no category."), code="syntax", params={"slug": item[:60]})


def validate_offers(value: object) -> None:
    """A list of different offers out of OFFERS."""
    if not isinstance(value, list) or not all(isinstance(item, str) for item in value):
        raise ValidationError(_("Give a list of offers."), code="not_a_list")
    if len(set(value)) != len(value):
        raise ValidationError(_("The same offer stands here twice."), code="twice")
    for item in value:
        if item not in OFFERS:
            raise ValidationError(
                _("“%(offer)s” is no offer. Known: %(known)s."),
                code="unknown_offer",
                params={"offer": item[:60], "known": ", ".join(OFFERS)},
            )
