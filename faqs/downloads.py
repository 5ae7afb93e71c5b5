"""FAQs as a file to keep."""

from collections.abc import Iterable

from django.http import HttpResponse
from django.utils import timezone

from faqs.models import FAQ
from faqs.transfer import export_faqs
from faqs.transfer.files import Format


def download(faqs: Iterable[FAQ] | None, kind: Format) -> HttpResponse:
    """``faqs``, or all, as an answer that a browser stores."""
    text = export_faqs(faqs=faqs, format=kind)
    media = "application/json" if kind == "json" else "text/csv"
    response = HttpResponse(text, content_type=f"{media}; charset=utf-8")
    name = f"faqs-{timezone.localdate().isoformat()}.{kind}"
    response.headers["Content-Disposition"] = f'attachment; filename="{name}"'
    response.headers["Cache-Control"] = "no-store"
    return response
