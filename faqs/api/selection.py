"""Which FAQs a caller may see and asks for, and how one is held still while somebody changes it."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any
from uuid import UUID

from django.db import transaction
from django.db.models import Q
from rest_framework.request import Request

from accounts.api.permissions import audience_of, may
from chatbot_project.lib.api.etag import etag_of_body, require_match
from chatbot_project.lib.errors import NotFound
from faqs.api.editing_serializers import FAQFilterSerializer
from faqs.api.serializers import faq_detail
from faqs.categories import descendants
from faqs.locks import lock_shape
from faqs.models import FAQ
from faqs.models.catalog import FAQQuerySet
from faqs.services import lock_faq
from faqs.translations import translations_of

VIEW, ADD, CHANGE = "faqs.view_faq", "faqs.add_faq", "faqs.change_faq"
PUBLISH, DELETE = "faqs.publish_faq", "faqs.delete_faq"


def chosen_faqs(view: Any, request: Request, *, usual_status: str = "") -> FAQQuerySet:
    """What the query parameters of FAQFilterSerializer leave of what the caller may see; without a status, of
    ``usual_status``.

    Raises InvalidInput, and where a status is asked for by who is no editor, what ``view`` refuses them with.
    """
    query = FAQFilterSerializer(data=request.query_params.dict())
    query.is_valid(raise_exception=True)
    wanted = query.validated_data
    faqs = FAQ.objects.meant_for(audience_of(request))
    if status := wanted.get("status", usual_status):
        if not may(request, VIEW):
            view.permission_denied(request)
        faqs = FAQ.objects.all() if status == "any" else FAQ.objects.filter(status=status)
    if slug := wanted.get("category"):
        faqs = faqs.filter(category__in=descendants([slug]))
    if language := wanted.get("language"):
        code = language.lower().replace("_", "-")
        faqs = faqs.filter(Q(language=code) | Q(language__startswith=f"{code}-"))
    if tag := wanted.get("tag"):
        faqs = faqs.filter(tags__contains=[tag])
    return faqs


def seen_faqs(request: Request) -> FAQQuerySet:
    """What the caller may open: for editors, all."""
    return FAQ.objects.all() if may(request, VIEW) else FAQ.objects.meant_for(audience_of(request))


def find_faq(faqs: FAQQuerySet, faq_id: UUID) -> FAQ:
    """The one of ``faqs``, with category and owner. Raises NotFound."""
    found = faqs.select_related("category", "owner").filter(pk=faq_id).first()
    if found is None:
        raise NotFound
    return found


def detail_for(request: Request, faq_id: UUID) -> dict[str, Any]:
    """One FAQ as the caller is told of it. Raises NotFound. Two queries, for editors three."""
    faq, for_editor = find_faq(seen_faqs(request), faq_id), may(request, VIEW)
    others = translations_of(faq) if for_editor else translations_of(faq).meant_for(audience_of(request))
    return faq_detail(faq, others, for_editor=for_editor)


@contextmanager
def held_faq(request: Request, faq_id: UUID) -> Iterator[FAQ]:
    """The FAQ, locked in a transaction around the block, if it is what ``If-Match`` names. For editors.

    Raises NotFound, PreconditionFailed.
    """
    with transaction.atomic():
        lock_shape(shared=True)  # first, as all who write to the catalog
        faq = lock_faq(find_faq(FAQ.objects.all(), faq_id))
        if "If-Match" in request.headers:
            require_match(request, etag_of_body(detail_for(request, faq_id)))
        yield faq
