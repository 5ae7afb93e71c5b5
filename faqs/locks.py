"""Who waits for whom among the catalog's writers. Always in this order: its shape, then FAQs by id, then the state."""

from collections.abc import Iterable

from django.db import connection

from faqs.models import FAQ

_SHAPE = 0x66617173  # "faqs": any number that no other advisory lock of the product uses


def lock_shape(*, shared: bool = False) -> None:
    """Hold the category tree and the groups of translations still until the transaction ends: alone to change them,
    ``shared`` to hang an FAQ into the tree."""
    name = "pg_advisory_xact_lock_shared" if shared else "pg_advisory_xact_lock"
    with connection.cursor() as cursor:
        cursor.execute(f"SELECT {name}(%s)", [_SHAPE])


def lock_faqs(faqs: Iterable[FAQ]) -> list[FAQ]:
    """The FAQs as stored now, locked until the transaction ends, by id. Those that are gone are left out."""
    ids = [faq.pk for faq in faqs]
    return list(FAQ.objects.select_for_update(of=("self",)).filter(pk__in=ids).order_by("pk"))
