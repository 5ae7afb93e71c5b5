"""Trying before publishing: the rendered answer, FAQs that ask the same, and what the assistant would retrieve."""

from typing import Any
from uuid import UUID

from django.conf import settings
from django.http import HttpRequest, HttpResponse, HttpResponseNotAllowed
from django.shortcuts import render
from django.utils.translation import gettext

from accounts.audience import Visibility
from chatbot_project.lib import markdown
from chatbot_project.lib.text import clean_text
from faqs.admin_forms import AskForm
from faqs.admin_site_pages import CHANGE, VIEW, PagesAdmin, View, require
from faqs.models import FAQ
from faqs.models.catalog import MAX_ANSWER, MAX_QUESTION
from faqs.retrieval import Found, find_answer
from faqs.similar import similar_faqs

ASKED = 10  # matches that are shown
# Whom an audience includes: what staff may read, and so on down.
_INCLUDED = {
    Visibility.GUESTS: [Visibility.GUESTS],
    Visibility.USERS: [Visibility.GUESTS, Visibility.USERS],
    Visibility.STAFF: [Visibility.GUESTS, Visibility.USERS, Visibility.STAFF],
}


class TryingPages(PagesAdmin):
    def pages(self) -> dict[str, View]:
        return super().pages() | {
            "ask": self.ask_view, "preview": self.preview_view, "similar": self.similar_view,
        }  # fmt: skip

    def preview_view(self, request: HttpRequest) -> HttpResponse:
        """POST ``answer``: the HTML that readers would see."""
        if request.method != "POST":
            return HttpResponseNotAllowed(["POST"])
        require(request, CHANGE)
        return HttpResponse(markdown.render(clean_text(request.POST.get("answer", ""))[:MAX_ANSWER]))

    def similar_view(self, request: HttpRequest) -> HttpResponse:
        """POST ``question``, and ``faq`` where one is edited: a list of FAQs that ask much the same."""
        if request.method != "POST":
            return HttpResponseNotAllowed(["POST"])
        require(request, CHANGE)
        question = clean_text(request.POST.get("question", "")).strip()[:MAX_QUESTION]
        found = similar_faqs(question, exclude=_uuid(request.POST.get("faq", "")))
        return render(request, "faqs/admin/_similar.html", {"similar": found})

    def ask_view(self, request: HttpRequest) -> HttpResponse:
        """What the assistant would retrieve for ``q``, with every score, for an audience, language and category."""
        require(request, VIEW)
        form = AskForm(request.GET if "q" in request.GET else None)
        context: dict[str, Any] = {"form": form}
        if form.is_bound and form.is_valid():
            context |= _answer(form.cleaned_data)
        template = "_asked" if request.headers.get("X-Partial") else "ask"
        return self.page(request, template, gettext("Ask it"), **context)


def _answer(asked: dict[str, Any]) -> dict[str, Any]:
    audience = Visibility(asked["audience"] or Visibility.GUESTS)
    category = asked["category"]
    found = find_answer(
        asked["q"],
        visibilities=_INCLUDED[audience],
        categories=[category.pk] if category else None,
        language=asked["language"] or None,
        limit=ASKED,
    )
    stored = FAQ.objects.in_bulk([match.faq for match in found.matches])
    return {
        "found": found,
        "matches": [(match, stored.get(match.faq)) for match in found.matches],
        "inside": 1 - found.outside,
        "floor": settings.FAQ_FLOOR,
        "verdict": _verdict(found),
    }


def _verdict(found: Found) -> str:
    if found.best is None:
        return gettext("Nothing is found. The assistant would say that it does not know.")
    if found.is_below_floor:
        return gettext("Below the floor: the assistant would say that it does not know.")
    return gettext("Above the floor: the assistant would use the first of these.")


def _uuid(text: str) -> UUID | None:
    try:
        return UUID(text)
    except ValueError:
        return None
