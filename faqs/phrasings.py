"""The rows by which FAQs are found: their phrasings, and the words of both. All of it follows from the content."""

from collections.abc import Iterable, Sequence
from typing import Any
from uuid import UUID

from django.db import connection

from faqs.languages import search_configuration
from faqs.models import FAQ, Phrasing
from faqs.texts import text_hash

_WORDS_OF_FAQS = """
    UPDATE faqs_faq SET search = setweight(to_tsvector(%(config)s::regconfig, question), 'A')
        || setweight(to_tsvector(%(config)s::regconfig, array_to_string(tags, ' ')), 'B')
        || setweight(to_tsvector(%(config)s::regconfig, answer), 'C')
    WHERE language = %(language)s AND id = ANY(%(ids)s)
"""
_WORDS_OF_PHRASINGS = """
    UPDATE faqs_phrasing AS phrasing SET search = to_tsvector(%(config)s::regconfig, phrasing.text)
    FROM faqs_faq AS faq
    WHERE faq.id = phrasing.faq_id AND faq.language = %(language)s AND faq.id = ANY(%(ids)s)
"""


def phrasings_of(faq: FAQ) -> list[str]:
    """The other ways to ask ``faq``, oldest first."""
    return list(faq.phrasings.filter(kind=Phrasing.Kind.PHRASING).values_list("text", flat=True))


def as_rows(faq: FAQ, phrasings: Sequence[str]) -> list[Phrasing]:
    """Unsaved rows of a new FAQ: its question and ``phrasings``, which are clean."""
    kinds = Phrasing.Kind
    question = Phrasing(faq=faq, kind=kinds.QUESTION, text=faq.question, text_hash=text_hash(faq.question))
    return [question, *(Phrasing(faq=faq, kind=kinds.PHRASING, text=t, text_hash=text_hash(t)) for t in phrasings)]


def set_phrasings(wanted: Sequence[tuple[FAQ, Sequence[str]]]) -> None:
    """Make the rows of each locked FAQ those of its question and its phrasings, which are clean. Five statements,
    however many FAQs.

    A row whose text stays is kept, and its vectors with it; the text of a row never changes.
    """
    rows = {(row.faq_id, row.text_hash): row for faq, phrasings in wanted for row in as_rows(faq, phrasings)}
    present = {(row.faq_id, row.text_hash): row for row in Phrasing.objects.filter(faq__in=[faq for faq, _ in wanted])}
    Phrasing.objects.filter(pk__in=[row.pk for key, row in present.items() if key not in rows]).delete()
    # The new question can be an old phrasing, or the other way round; two questions at once would not be allowed.
    for kind in (Phrasing.Kind.PHRASING, Phrasing.Kind.QUESTION):
        kept = ((row, rows[key]) for key, row in present.items() if key in rows)
        turned = [old.pk for old, new in kept if new.kind == kind != old.kind]
        Phrasing.objects.filter(pk__in=turned).update(kind=kind)
    Phrasing.objects.bulk_create([row for key, row in rows.items() if key not in present], batch_size=5000)


def refresh_search(faqs: Iterable[FAQ]) -> None:
    """Index the words of stored FAQs and of all their phrasings, in the configuration of each one's language."""
    by_language: dict[str, list[UUID]] = {}
    for faq in faqs:
        by_language.setdefault(faq.language, []).append(faq.pk)
    with connection.cursor() as cursor:
        for language, ids in sorted(by_language.items()):
            values: dict[str, Any] = {"config": search_configuration(language), "language": language, "ids": ids}
            cursor.execute(_WORDS_OF_FAQS, values)
            cursor.execute(_WORDS_OF_PHRASINGS, values)
