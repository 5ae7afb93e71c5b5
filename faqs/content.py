"""What an FAQ says: its fields tidied and checked, and the form in which a version keeps them. No database."""

from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, TypedDict

from django.core.exceptions import ValidationError
from django.utils import timezone
from django.utils.translation import gettext as _
from django.utils.translation import ngettext

from accounts.audience import Visibility
from accounts.models import User
from faqs.models import FAQ, Category
from faqs.models.catalog import MAX_ANSWER, MAX_QUESTION, validate_language
from faqs.texts import block, distinct, has_words, is_visible, one_line

#: The fields whose change makes a new version, in the order in which they are shown; a version holds the phrasings too.
CONTENT_FIELDS = (
    "question", "answer", "language", "category", "tags", "visibility", "valid_from", "valid_until",
)  # fmt: skip

MAX_TAG = 40
MAX_TAGS = 20
MAX_PHRASINGS = 1000


class FurtherFields(TypedDict, total=False):
    """What may be set on an FAQ besides its question and answer; what is left out stays, or is at its default."""

    language: str
    category: Category | None
    tags: Sequence[str]
    visibility: str
    valid_from: datetime | None
    valid_until: datetime | None
    owner: User | None
    drafted_by: str


class FAQFields(FurtherFields, total=False):
    """All that may be set on an FAQ."""

    question: str
    answer: str


def fill(faq: FAQ, fields: Mapping[str, Any], *, required: Sequence[str] = ("question", "answer")) -> FAQ:
    """Set ``fields`` on ``faq``, tidied, and check all of its content. Raises ValidationError by field, TypeError for a
    field that is none. Saves nothing."""
    errors: dict[str, Any] = {}
    for name, value in fields.items():
        try:
            setattr(faq, name, _CLEANERS[name](value))
        except KeyError:
            raise TypeError(f"not a field of an FAQ: {name}") from None
        except ValidationError as error:
            errors[name] = error
    missing = [name for name in required if name not in fields and not getattr(faq, name)]
    errors |= {name: ValidationError(_("This is missing."), "required") for name in missing}
    if not errors and faq.valid_from and faq.valid_until and faq.valid_until <= faq.valid_from:
        errors["valid_until"] = ValidationError(_("This must be later than the beginning."), "period")
    if errors:
        raise ValidationError(errors)
    return faq


def clean_phrasings(texts: Sequence[str], *, question: str) -> list[str]:
    """Other ways to ask ``question``, tidied, each once, without the question itself. Raises ValidationError
    ``phrasings``."""
    found = [text for text in distinct(texts) if text != question]
    if len(found) > MAX_PHRASINGS:
        message = ngettext("At most %d wording.", "At most %d wordings.", MAX_PHRASINGS) % MAX_PHRASINGS
        raise ValidationError({"phrasings": ValidationError(message, "too_many")})
    for text in found:
        try:
            _check_asked(text)
        except ValidationError as error:
            raise ValidationError({"phrasings": error}) from None
    return found


def content_of(faq: FAQ, phrasings: Sequence[str]) -> dict[str, Any]:
    """The content as a version keeps it: JSON of CONTENT_FIELDS and ``phrasings``; times in UTC."""
    content: dict[str, Any] = {name: getattr(faq, name) for name in CONTENT_FIELDS if name != "category"}
    content["category"] = str(faq.category_id) if faq.category_id else None
    content["tags"] = list(faq.tags)
    content["visibility"] = str(faq.visibility)
    for name in ("valid_from", "valid_until"):
        content[name] = content[name].isoformat() if content[name] else None
    return {name: content[name] for name in CONTENT_FIELDS} | {"phrasings": list(phrasings)}


def fields_of(content: Mapping[str, Any]) -> dict[str, Any]:
    """The fields that a version's content sets, without the category and the phrasings: of these it keeps only ids
    and texts."""
    fields = {name: content[name] for name in CONTENT_FIELDS if name in content and name != "category"}
    for name in ("valid_from", "valid_until"):
        if fields.get(name):
            fields[name] = datetime.fromisoformat(fields[name])
    return fields


def _check_asked(text: str) -> None:
    if not has_words(text):
        raise ValidationError(_("This needs at least one word."), "required")
    if len(text) > MAX_QUESTION:
        raise ValidationError(_("At most %(count)d characters."), "too_long", {"count": MAX_QUESTION})


def _question(value: Any) -> str:
    text = one_line(str(value or ""))
    _check_asked(text)
    return text


def _answer(value: Any) -> str:
    text = block(str(value or ""))
    if not is_visible(text):
        raise ValidationError(_("An FAQ needs an answer."), "required")
    if len(text) > MAX_ANSWER:
        raise ValidationError(_("At most %(count)d characters."), "too_long", {"count": MAX_ANSWER})
    return text


def _language(value: Any) -> str:
    code = one_line(str(value or "")).lower().replace("_", "-")
    validate_language(code)
    return code


def _tags(value: Any) -> list[str]:
    tags = distinct(value or ())
    if len(tags) > MAX_TAGS:
        raise ValidationError(_("At most %(count)d tags."), "too_many", {"count": MAX_TAGS})
    if any(len(tag) > MAX_TAG for tag in tags):
        raise ValidationError(_("At most %(count)d characters in a tag."), "too_long", {"count": MAX_TAG})
    return tags


def _visibility(value: Any) -> str:
    if value not in Visibility.values:
        raise ValidationError(
            _("One of %(choices)s."), "invalid_choice", {"choices": ", ".join(str(choice) for choice in Visibility)}
        )
    return str(value)


def _moment(value: datetime | None) -> datetime | None:
    """In UTC; without a zone of its own, in the current one."""
    if value is None:
        return None
    try:
        return (timezone.make_aware(value) if timezone.is_naive(value) else value).astimezone(UTC)
    except (OverflowError, ValueError):  # the first or the last day there is, elsewhere
        raise ValidationError(_("This is no time that can be kept."), "invalid") from None


def _drafted_by(value: Any) -> str:
    return one_line(str(value or ""))[:200]


_CLEANERS: Mapping[str, Callable[[Any], Any]] = {
    "question": _question,
    "answer": _answer,
    "language": _language,
    "category": lambda value: value,
    "tags": _tags,
    "visibility": _visibility,
    "valid_from": _moment,
    "valid_until": _moment,
    "owner": lambda value: value,
    "drafted_by": _drafted_by,
}
