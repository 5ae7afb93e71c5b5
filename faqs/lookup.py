"""What the search of the help pages finds: by words while somebody types, and by meaning."""

from collections.abc import Sequence
from typing import Any
from uuid import UUID

from accounts.audience import visibilities_for
from faqs.models import FAQ
from faqs.reading import Branch, language_rank
from faqs.retrieval import find_answer
from faqs.word_search import find_by_words

MAX_QUERY = 200  # characters
FOUND = 20
BY_MEANING = 5
MIN_LETTERS = 3  # of a query that can mean something
# What is near in meaning alone is shown from this probability on: a list is looked through, a reply is believed.
MEANT = 0.2
_RANK_CONSTANT = 60  # of reciprocal rank fusion, as in retrieval


def look_up(
    query: str, *, user: Any, languages: Sequence[str], branch: Branch | None = None, by_meaning: bool = True
) -> list[FAQ]:
    """At most twenty FAQs that ``user`` may read, the best first; each in the one of its translations that a reader
    of ``languages`` reads best. Only those in ``branch`` and below where one is given."""
    visible = FAQ.objects.visible_to(user)
    searched = visible.filter(category__in=[below.category.pk for below in branch.subtree]) if branch else visible
    found = find_by_words(searched, query, limit=FOUND)
    if by_meaning and len(query) >= MIN_LETTERS:
        found = fuse(found, _meant(query, user, branch))[:FOUND]
    groups = dict(searched.filter(pk__in=found).values_list("pk", "translation_group"))
    place = {groups[pk]: number for number, pk in reversed(list(enumerate(found))) if pk in groups}
    rank = language_rank(languages)
    best = (
        visible.filter(translation_group__in=place)
        .alias(rank=rank)
        .order_by("translation_group", "rank", "language", "pk")
        .distinct("translation_group")
        .select_related("category")
    )
    return sorted(best, key=lambda faq: place[faq.translation_group])


def fuse(first: Sequence[UUID], second: Sequence[UUID]) -> list[UUID]:
    """Two lists, each the best first, as one, by reciprocal rank; of equals the one in ``first`` comes first. Pure."""
    scores: dict[UUID, float] = {}
    for found in (first, second):
        for place, pk in enumerate(found):
            scores[pk] = scores.get(pk, 0.0) + 1 / (_RANK_CONSTANT + place)
    return sorted(scores, key=lambda pk: -scores[pk])


def _meant(query: str, user: Any, branch: Branch | None) -> list[UUID]:
    found = find_answer(
        query,
        visibilities=visibilities_for(user),
        categories=[branch.category.pk] if branch else None,
        limit=BY_MEANING,
    )
    return [match.faq for match in found.matches if match.confidence >= MEANT]
