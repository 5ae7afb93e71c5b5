"""Knowledge for tests, made through the services."""

from collections.abc import Sequence
from itertools import count
from typing import Any

from faqs import services
from faqs.models import FAQ, Category

_number = count(1)


def make_category(slug: str = "", *, parent: Category | None = None, **fields: Any) -> Category:
    slug = slug or f"category-{next(_number)}"
    fields.setdefault("name", slug.replace("-", " ").capitalize())
    return Category.objects.create(slug=slug, parent=parent, **fields)


def make_faq(
    question: str = "",
    answer: str = "You will find it on the last page.",
    *,
    phrasings: Sequence[str] = (),
    published: bool = True,
    **fields: Any,
) -> FAQ:
    """An FAQ that everyone may read unless ``visibility`` says otherwise; a draft where not ``published``."""
    question = question or f"Where is page {next(_number)}?"
    faq = services.create_faq(actor=None, question=question, answer=answer, phrasings=phrasings, **fields)
    if published:
        services.publish_faqs(faqs=[faq], actor=None)
        faq.refresh_from_db()
    return faq


def make_index() -> None:
    """Fill the vectors of all published phrasings now, by the model in force, and make its index."""
    from faqs.indexing import fill_index

    fill_index()
