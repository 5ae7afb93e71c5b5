"""What the search of the help pages finds: by words while somebody types, and by meaning."""

from collections.abc import Sequence
from typing import Any

from faqs.models import FAQ
from faqs.reading import Branch, language_rank
from faqs.word_search import find_by_words

MAX_QUERY = 200  # characters
FOUND = 20


def look_up(
    query: str, *, user: Any, languages: Sequence[str], branch: Branch | None = None, by_meaning: bool = True
) -> list[FAQ]:
    """At most twenty FAQs that ``user`` may read, the best first; each in the one of its translations that a reader
    of ``languages`` reads best. Only those in ``branch`` and below where one is given."""
    visible = FAQ.objects.visible_to(user)
    searched = visible.filter(category__in=[below.category.pk for below in branch.subtree]) if branch else visible
    found = find_by_words(searched, query, limit=FOUND)
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
