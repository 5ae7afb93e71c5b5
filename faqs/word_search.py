"""Finding FAQs by words, also by the beginning of a word that is still being typed. For people who look, not for
replies: those go through ``retrieval``."""

import re
from collections.abc import Iterable
from functools import reduce
from operator import and_, or_
from uuid import UUID

from django.contrib.postgres.search import SearchQuery, SearchRank
from django.db.models import Case, F, FloatField, Q, QuerySet, Value, When

from faqs.languages import search_configuration
from faqs.models import FAQ, Phrasing
from faqs.models.catalog import FAQQuerySet

MAX_TERMS = 12
MAX_TERM = 40
MIN_FRAGMENT = 3  # shorter pieces of words stand in every other question
_TERM = re.compile(r"\w+")


def terms_of(text: str) -> list[str]:
    """The words of ``text`` in lower case, the first twelve."""
    return [term[:MAX_TERM] for term in _TERM.findall(text.lower())[:MAX_TERMS]]


def find_by_words(faqs: FAQQuerySet, text: str, *, limit: int) -> list[UUID]:
    """Ids of those of ``faqs`` that hold every word of ``text``, the last as a beginning: the best first.

    Looks into questions, tags and answers, then into the other ways to ask. Stemming may cut a beginning off past
    what was typed ("cancelin" of "cancelling"), so that the letters of the questions themselves are looked at, too.
    At most four queries.
    """
    terms = terms_of(text)
    if not terms:
        return []
    queries = _queries(terms)
    found = _in_contents(faqs, queries, limit)
    if len(found) < limit:
        found += _first(faqs.filter(pk__in=_phrasings(queries)), limit)
    by_letters = _letters(terms)
    if by_letters and len(set(found)) < limit:
        found += _first(faqs.filter(by_letters), limit)
    return list(dict.fromkeys(found))[:limit]


def _in_contents(faqs: FAQQuerySet, queries: dict[str, SearchQuery], limit: int) -> list[UUID]:
    if not queries:
        return []
    ranks = [When(language=language, then=SearchRank(F("search"), query)) for language, query in queries.items()]
    rank = Case(*ranks, default=Value(0.0), output_field=FloatField())
    rows = faqs.filter(_contents(queries)).alias(rank=rank).order_by("-rank", "question", "pk")
    return list(rows.values_list("pk", flat=True)[:limit])


def _first(faqs: FAQQuerySet, limit: int) -> list[UUID]:
    return list(faqs.order_by("question", "pk").values_list("pk", flat=True)[:limit])


def holding_words(faqs: FAQQuerySet, text: str) -> FAQQuerySet:
    """Those of ``faqs`` that ``find_by_words`` would find, in no order of their own and without a limit."""
    terms = terms_of(text)
    if not terms:
        return faqs
    queries = _queries(terms)
    by_letters = _letters(terms)
    conditions = [_contents(queries), Q(pk__in=_phrasings(queries)), *([by_letters] if by_letters else [])]
    return faqs.filter(reduce(or_, conditions))


def _queries(terms: list[str]) -> dict[str, SearchQuery]:
    """For each language that there are FAQs in, what to look for in it. One query."""
    # Terms are word characters only, so that nothing in them is an operator.
    text = " & ".join([*terms[:-1], f"{terms[-1]}:*"])
    languages = FAQ.objects.order_by().values_list("language", flat=True).distinct()
    return {
        language: SearchQuery(text, config=search_configuration(language), search_type="raw") for language in languages
    }


def _contents(queries: dict[str, SearchQuery]) -> Q:
    return _any(Q(language=language, search=query) for language, query in queries.items())


def _phrasings(queries: dict[str, SearchQuery]) -> QuerySet[Phrasing, UUID]:
    """The FAQs of phrasings that hold the words."""
    matches = _any(Q(faq__language=language, search=query) for language, query in queries.items())
    return Phrasing.objects.filter(matches).order_by().values_list("faq", flat=True)


def _letters(terms: list[str]) -> Q | None:
    fragments = [Q(question__icontains=term) for term in terms if len(term) >= MIN_FRAGMENT]
    return reduce(and_, fragments) if fragments else None


def _any(conditions: Iterable[Q]) -> Q:
    return reduce(or_, conditions, Q(pk__in=()))


def sharing_words(faqs: FAQQuerySet, text: str) -> FAQQuerySet:
    """Those of ``faqs`` whose question, tags or answer hold any of the words of ``text``: the most fitting first."""
    terms = terms_of(text)
    if not terms:
        return faqs.none()
    queries = {
        language: SearchQuery(" | ".join(terms), config=search_configuration(language), search_type="raw")
        for language in faqs.order_by().values_list("language", flat=True).distinct()
    }
    ranks = [When(language=language, then=SearchRank(F("search"), query)) for language, query in queries.items()]
    rank = Case(*ranks, default=Value(0.0), output_field=FloatField())
    return faqs.filter(_contents(queries)).alias(rank=rank).order_by("-rank", "question", "pk")
