"""The pages of the quality review: what was found, and judging the next reply."""

from typing import Any
from uuid import UUID

from django.contrib import messages
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.utils.translation import gettext as _
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_GET, require_http_methods, require_POST

from accounts.models import User
from analytics.pages.access import staff_page
from analytics.pages.overview import page_context
from analytics.pages.tables import csv_response
from analytics.quality import handing, sampling
from analytics.quality.forms import ReviewForm
from analytics.quality.models import QualityItem, QualityReview
from analytics.quality.reading import Reading, read
from analytics.quality.results import results
from analytics.quality.rubric import RUBRIC
from chatbot_project.lib.errors import NotFound
from chatbot_project.lib.markdown import render as as_html

#: Of one's own last judgements, so many are listed.
LISTED = 10


@require_GET
@never_cache
@staff_page()
def quality(request: HttpRequest, user: User) -> HttpResponse:
    """With ``format=csv`` the table that ``part`` names, as a file."""
    found = results(request.GET)
    if request.GET.get("format") == "csv":
        table = next((each for each in found.tables if each.key == request.GET.get("part")), None)
        if table is None:
            raise NotFound
        return csv_response(f"nono-{table.key}-{found.asked.period.last.isoformat()}", table.sheet())
    context: dict[str, Any] = {"found": found, "is_alone": True, "may_review": user.has_perm(handing.PERMISSION)}
    context["is_on"] = sampling.is_on()
    if context["may_review"]:
        mine = QualityReview.objects.filter(reviewer=user, done_at__isnull=False).select_related("item")
        context |= {
            "held": handing.held_by(user),
            "waiting": handing.waiting_for(user).count(),
            "done": mine.order_by("-done_at")[:LISTED],
        }
    return render(request, "analytics/quality/results.html", page_context(found.asked, tab="quality") | context)


@require_POST
@staff_page(handing.PERMISSION)
def take(request: HttpRequest, user: User) -> HttpResponse:
    """Give the person the next reply."""
    return _to_next(request, user)


@require_http_methods(["GET", "HEAD", "POST"])
@never_cache
@staff_page(handing.PERMISSION)
def review(request: HttpRequest, user: User, review_id: UUID) -> HttpResponse:
    """The reply with the form; judged already: what was said of it, and by then by others."""
    found = QualityReview.objects.filter(pk=review_id, reviewer=user).select_related("item").first()
    if found is None:
        raise NotFound
    if found.done_at is not None:
        return render(request, "analytics/quality/judged.html", _judged(found))
    form = ReviewForm(request.POST or None)
    if request.method == "POST" and form.is_valid():
        comment = form.cleaned_data["comment"]
        handing.judge(reviewer=user, review_id=review_id, answers=form.answers, comment=comment)
        messages.success(request, _("Saved."))
        return _to_next(request, user) if "next" in request.POST else redirect("analytics:quality")
    opened = handing.open_item(reviewer=user, review_id=review_id)
    assert opened.item.message is not None
    context = {"review": opened, "form": form, **_shown(read(opened.item.message))}
    return render(request, "analytics/quality/review.html", context, status=400 if form.errors else 200)


@require_POST
@staff_page(handing.PERMISSION)
def give_back(request: HttpRequest, user: User, review_id: UUID) -> HttpResponse:
    handing.give_back(reviewer=user, review_id=review_id)
    messages.info(request, _("Somebody else will judge that reply."))
    return redirect("analytics:quality")


def _to_next(request: HttpRequest, user: User) -> HttpResponse:
    turn = handing.take_next(reviewer=user)
    if turn is None:
        messages.info(request, _("There is nothing left for you to judge."))
        return redirect("analytics:quality")
    return redirect("analytics:quality_review", review_id=turn.pk)


def _shown(reading: Reading) -> dict[str, Any]:
    """Safe HTML of what is Markdown: replies and approved answers."""
    return {
        "reading": reading,
        "reply": as_html(reading.reply),
        "earlier": [(turn, turn.text if turn.is_question else as_html(turn.text)) for turn in reading.earlier],
        "sources": [(source, as_html(source.answer)) for source in reading.sources],
    }


def _judged(own: QualityReview) -> dict[str, Any]:
    """A row for each criterion: one's own answer, then those of the others in turn, then the model's. Nothing of the
    model or of others as long as the item is open."""
    is_open = own.item.state == QualityItem.State.OPEN
    others = [] if is_open else list(own.item.reviews.exclude(pk=own.pk).filter(done_at__isnull=False).order_by("slot"))
    opinion = None if is_open else own.item.opinions.filter(error_code="").order_by("-asked_at").first()
    said = [each for each in (own, *others, opinion) if each is not None]
    rows = [
        (criterion.label, [getattr(each, f"get_{name}_display")() for each in said])
        for name, criterion in RUBRIC.items()
    ]
    return {"review": own, "others": others, "opinion": opinion, "rows": rows, "is_open": is_open}
