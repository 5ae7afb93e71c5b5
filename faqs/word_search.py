"""Finding FAQs by words, also by the beginning of a word that is still being typed. For people who look, not for
replies: those go through ``retrieval``."""

import re
from functools import reduce
from operator import and_, or_
from uuid import UUID

from django.contrib.postgres.search import SearchQuery, SearchRank
from django.db.models import Case, F, FloatField, Q, Value, When

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
    languages = list(FAQ.objects.order_by().values_list("language", flat=True).distinct())
    queries = {language: _query(terms, language) for language in languages}
    found = _in_contents(faqs, queries, limit)
    if len(found) < limit:
        found += _in_phrasings(faqs, queries, limit)
    if len(set(found)) < limit:
        found += _in_letters(faqs, terms, limit)
    return list(dict.fromkeys(found))[:limit]


def _query(terms: list[str], language: str) -> SearchQuery:
    # Terms are word characters only, so that nothing in them is an operator.
    text = " & ".join([*terms[:-1], f"{terms[-1]}:*"])
    return SearchQuery(text, config=search_configuration(language), search_type="raw")


def _in_contents(faqs: FAQQuerySet, queries: dict[str, SearchQuery], limit: int) -> list[UUID]:
    if not queries:
        return []
    matches = [Q(language=language, search=query) for language, query in queries.items()]
    ranks = [When(language=language, then=SearchRank(F("search"), query)) for language, query in queries.items()]
    rank = Case(*ranks, default=Value(0.0), output_field=FloatField())
    rows = faqs.filter(reduce(or_, matches)).alias(rank=rank).order_by("-rank", "question", "pk")
    return list(rows.values_list("pk", flat=True)[:limit])


def _in_phrasings(faqs: FAQQuerySet, queries: dict[str, SearchQuery], limit: int) -> list[UUID]:
    if not queries:
        return []
    matches = [Q(faq__language=language, search=query) for language, query in queries.items()]
    phrasings = Phrasing.objects.filter(reduce(or_, matches))
    rows = faqs.filter(pk__in=phrasings.values("faq")).order_by("question", "pk")
    return list(rows.values_list("pk", flat=True)[:limit])


def _in_letters(faqs: FAQQuerySet, terms: list[str], limit: int) -> list[UUID]:
    fragments = [Q(question__icontains=term) for term in terms if len(term) >= MIN_FRAGMENT]
    if not fragments:
        return []
    rows = faqs.filter(reduce(and_, fragments)).order_by("question", "pk")
    return list(rows.values_list("pk", flat=True)[:limit])
